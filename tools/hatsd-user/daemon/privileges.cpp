#include "tools/hatsd-user/daemon/privileges.hpp"

#include <cap-ng.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>

namespace hats::app {

void forbid_core_dumps() noexcept {
  const rlimit none{0, 0};
  (void)setrlimit(RLIMIT_CORE, &none);
  (void)prctl(PR_SET_DUMPABLE, 0);
}

void protect_secrets() noexcept {
  forbid_core_dumps();
  // Keys must not reach swap. Pages are locked as they are touched, so that big tables that stay empty cost
  // nothing. Only where the limit can be lifted: else a later allocation would fail for being locked.
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0) (void)mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

std::string reduce_capabilities(bool raw_tunnels) {
  capng_setpid(0);
  if (capng_get_caps_process() != 0) return "cannot read the process's capabilities";
  const bool net_admin = capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN) != 0;
  const bool bind_service = capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_BIND_SERVICE) != 0;
  const bool net_raw = raw_tunnels && capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_RAW) != 0;
  const bool may_bound = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
  capng_clear(CAPNG_SELECT_BOTH);
  const auto keep = [](unsigned capability) {
    capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, capability);
    capng_update(CAPNG_ADD, CAPNG_PERMITTED, capability);
  };
  if (net_admin) keep(CAP_NET_ADMIN);
  if (net_raw) keep(CAP_NET_RAW);
  if (bind_service) keep(CAP_NET_BIND_SERVICE);
  if (capng_apply(may_bound ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) != 0) {
    return "cannot drop capabilities";
  }
  (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return {};
}

int enter_realtime() noexcept {
  sched_param parameters{};
  parameters.sched_priority = sched_get_priority_min(SCHED_FIFO);
  return sched_setscheduler(0, SCHED_FIFO, &parameters) == 0 ? 0 : errno;
}

void leave_realtime() noexcept {
  const sched_param parameters{};
  (void)sched_setscheduler(0, SCHED_OTHER, &parameters);
}

bool has_net_admin() {
  return capng_get_caps_process() == 0 && capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN) != 0;
}

}  // namespace hats::app
