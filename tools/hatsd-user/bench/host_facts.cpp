#include "tools/hatsd-user/bench/host_facts.hpp"

#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <thread>

#include "crypto/aead.hpp"
#include "tools/hatsd-user/bench/network_space.hpp"
#include "transport/loop.hpp"

namespace hats::app::bench {

namespace {

std::string cpu_model() {
  std::ifstream text("/proc/cpuinfo");
  for (std::string line; std::getline(text, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "";
}

std::vector<std::string> vectors_of_cpu() {
  std::vector<std::string> out;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") != 0) out.emplace_back("AVX2");
  if (__builtin_cpu_supports("avx512bw") != 0) out.emplace_back("AVX-512");
#endif
  return out;
}

void probe_loop(HostFacts& facts, const Settings& settings) {
  transport::LoopOptions options;
  options.slabs = transport::kMinSlabs;
  options.io = settings.io;
  if (auto loop = transport::Loop::make(options)) {
    facts.io = (*loop)->name();
  } else {
    facts.io_refused = loop.error();
    return;
  }
  if (settings.io != transport::IoChoice::automatic) return;
  options.io = transport::IoChoice::uring;
  if (auto loop = transport::Loop::make(options); !loop) facts.io_refused = loop.error();
}

void probe_tun(HostFacts& facts, const Settings& settings) {
  const auto space = NetworkSpace::make();
  if (!space) {
    facts.tun_refused = space.error().message;
    return;
  }
  const StayInSpace stay(*space);
  const auto device = stay.entered()
                          ? tun::TunDevice::create("probe", settings.tun_offload)
                          : std::unexpected(tun::TunError{EPERM, "the namespace cannot be entered"});
  if (device) {
    facts.tun = device->features();
  } else {
    facts.tun_refused = device.error().message;
  }
}

void probe_sockets(HostFacts& facts) {
  const auto sockets = transport::open_udp(0, 0);
  if (!sockets) return;
  facts.udp = transport::udp_features(*sockets);
  socklen_t size = sizeof facts.receive_buffer;
  (void)getsockopt(sockets->v4.get(), SOL_SOCKET, SO_RCVBUF, &facts.receive_buffer, &size);
  facts.receive_buffer /= 2;  // the kernel tells it doubled
}

}  // namespace

HostFacts probe_host(const Settings& settings) {
  HostFacts out;
  utsname system{};
  if (uname(&system) == 0) out.kernel = std::string(system.sysname) + " " + system.release;
  out.cpu = cpu_model();
  out.cpus = static_cast<unsigned>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  out.vectors = vectors_of_cpu();
  probe_loop(out, settings);
  // Its thread is in another namespace for a while.
  std::thread([&] { probe_tun(out, settings); }).join();
  probe_sockets(out);
  if (const auto aead = crypto::make_aead(settings.aead)) out.aead = aead->name();
  return out;
}

}  // namespace hats::app::bench
