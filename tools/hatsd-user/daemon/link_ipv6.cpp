#include "tools/hatsd-user/daemon/link_ipv6.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "transport/socket.hpp"

namespace hats::app {
namespace {

constexpr char kNoAddresses = '1';  // IN6_ADDR_GEN_MODE_NONE

std::string setting_path(const std::string& link, const char* setting) {
  return "/proc/sys/net/ipv6/conf/" + link + "/" + setting;
}

/// The first digit of a setting; nullopt: the link has no IPv6, or the kernel not that setting.
std::optional<char> setting(const std::string& link, const char* name) {
  const transport::UniqueFd fd(open(setting_path(link, name).c_str(), O_RDONLY | O_CLOEXEC));
  char out = 0;
  if (!fd || read(fd.get(), &out, 1) != 1) return std::nullopt;
  return out;
}

}  // namespace

int LinkIpv6::accept_advertisements(const std::string& link, bool accept) {
  accept_ = accept;
  const char wanted = accept ? '1' : '0';
  const auto present = setting(link, "accept_ra");
  if (!present || *present == wanted) return 0;
  const transport::UniqueFd fd(open(setting_path(link, "accept_ra").c_str(), O_WRONLY | O_CLOEXEC));
  return fd && write(fd.get(), &wanted, 1) == 1 ? 0 : errno;
}

bool LinkIpv6::restore(const std::string& link, uint32_t index) {
  const auto disabled = setting(link, "disable_ipv6");
  const bool was_off = std::exchange(off_, !disabled || *disabled != '0');
  if (off_) return false;
  const auto mode = setting(link, "addr_gen_mode");
  // An operator may change one of the two; both are lost together. Older kernels do not show the mode.
  const bool lost = mode ? *mode != kNoAddresses && (accept_ || setting(link, "accept_ra") != '0') : was_off;
  if (lost) {
    (void)netlink_.set_addrgenmode_none(index);
    (void)accept_advertisements(link, accept_);
    (void)netlink_.remove_generated_addresses(index);
  }
  return was_off || lost;
}

}  // namespace hats::app
