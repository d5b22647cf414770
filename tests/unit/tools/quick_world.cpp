#include "tests/unit/tools/quick_world.hpp"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace hats::app::testing {

// ---- MemoryDevice ----

std::expected<void, ConfigError> MemoryDevice::configure(const config::InterfaceConfig& config) {
  calls.emplace_back("configure");
  if (refuse_configure) return std::unexpected(ConfigError{2, "ListenPort", "taken"});
  auto update = config.device_update();
  if (update.fwmark) fwmark = *update.fwmark;
  peers_ = std::move(update.peers);
  return {};
}

std::expected<void, ConfigError> MemoryDevice::reconfigure(const config::InterfaceConfig&,
                                                           const config::InterfaceConfig& new_config) {
  calls.emplace_back("reconfigure");
  auto update = new_config.device_update();
  if (update.fwmark) fwmark = *update.fwmark;
  peers_ = std::move(update.peers);
  return {};
}

std::expected<wg::DeviceSnapshot, std::string> MemoryDevice::snapshot() {
  wg::DeviceSnapshot out;
  out.fwmark = fwmark;
  for (const auto& peer : peers_) {
    wg::PeerSnapshot copy;
    copy.public_key = peer.public_key;
    if (peer.endpoint) copy.endpoint = *peer.endpoint;
    for (const auto& change : peer.allowed_ips) copy.allowed_ips.push_back(change.prefix.masked());
    out.peers.push_back(std::move(copy));
  }
  return out;
}

std::expected<void, std::string> MemoryDevice::set_fwmark(uint32_t mark) {
  calls.push_back("fwmark " + std::to_string(mark));
  if (refuse_fwmark) return std::unexpected("refused");
  fwmark = mark;
  return {};
}

// ---- QuickWorld ----

void QuickWorld::SetUp() {
  old_net_ = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  old_mnt_ = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) {
    GTEST_SKIP() << "SKIPPED: no namespaces of our own (needs root): " << std::strerror(errno);
  }
  ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_EQ(mount("tmpfs", "/run", "tmpfs", 0, nullptr), 0);
  mount("sysfs", "/sys", "sysfs", 0, nullptr);  // /sys/class/net of the new namespace
  if (access("/dev/net/tun", R_OK | W_OK) != 0) {
    GTEST_SKIP() << "SKIPPED: no /dev/net/tun: " << std::strerror(errno);
  }
  dir_ = "/run/test";
  std::filesystem::create_directories(dir_ + "/bin");
  old_path_ = std::getenv("PATH");
  setenv("PATH", (dir_ + "/bin:" + old_path_).c_str(), 1);
  // No link-local addresses of the kernel's own choice: they differ from run to run.
  sh("echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode; echo 0 "
     ">/proc/sys/net/ipv6/conf/default/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad;"
     "ip link set lo up; ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up;"
     "ip addr add 192.0.2.1/24 dev up0; ip -6 addr add 2001:db8::1/64 dev up0 nodad;"
     "ip route add default via 192.0.2.254; ip -6 route add default via 2001:db8::fe");
  // The kernel adds these a moment after the links are up; pictures of "before" must have them.
  sh("for i in $(seq 100); do routes=$(ip -6 route show table local);"
     " case $routes in *2001:db8::1*ff00::/8*up0*ff00::/8*up1*|*2001:db8::1*ff00::/8*up1*ff00::/8*up0*) exit "
     "0 ;; esac;"
     " sleep 0.05; done; echo \"$routes\"; exit 1");
}

void QuickWorld::TearDown() {
  for (const auto& [name, fd] : tuns_) close(fd);
  if (!old_path_.empty()) setenv("PATH", old_path_.c_str(), 1);
  EXPECT_EQ(setns(old_net_, CLONE_NEWNET), 0);
  EXPECT_EQ(setns(old_mnt_, CLONE_NEWNS), 0);
  close(old_net_);
  close(old_mnt_);
}

std::string QuickWorld::sh(const std::string& command, bool check) {
  FILE* pipe = popen(("exec 2>&1; " + command).c_str(), "r");  // NOLINT(bugprone-command-processor)
  std::string out;
  std::array<char, 4096> buffer;
  while (const size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), n);
  const int status = pclose(pipe);
  if (check) {
    EXPECT_EQ(status, 0) << command << "\n" << out;
  }
  return out;
}

std::string QuickWorld::state() {
  return sh(
      "ip -br addr | grep -v ^up; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all |"
      " sed 's/ expires [0-9]*sec//'; nft list ruleset; cat /proc/sys/net/ipv4/conf/all/src_valid_mark;"
      " ls -A /run/hatsd-user 2>/dev/null",
      false);
}

std::string QuickWorld::file(const std::string& interface_lines, const std::string& peers) {
  const std::string name = path("wgq.conf");
  std::ofstream(name) << "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n"
                      << interface_lines << peers;
  chmod(name.c_str(), 0600);
  return name;
}

std::string QuickWorld::peer(const std::string& allowed_ips, const std::string& endpoint, char key) {
  std::string out = "[Peer]\nPublicKey = " + std::string(1, key) + std::string(41, 'A') + "E=\n";
  if (!allowed_ips.empty()) out += "AllowedIPs = " + allowed_ips + "\n";
  if (!endpoint.empty()) out += "Endpoint = " + endpoint + "\n";
  return out;
}

void QuickWorld::program(const std::string& name, const std::string& script) const {
  const std::string file = path("bin/" + name);
  std::ofstream(file) << "#!/bin/sh\n" << script;
  chmod(file.c_str(), 0755);
}

std::string QuickWorld::read(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void QuickWorld::make_device(const std::string& name) {
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  ifreq request{};
  name.copy(static_cast<char*>(request.ifr_name), IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  ASSERT_EQ(ioctl(fd, TUNSETIFF, &request), 0) << std::strerror(errno);
  tuns_[name] = fd;
}

void QuickWorld::delete_device(const std::string& name) {
  close(tuns_.at(name));
  tuns_.erase(name);
}

HostOptions QuickWorld::options() {
  HostOptions out;
  out.interrupt_fd = interrupt_fd;
  out.warn = [this](const std::string& text) { warnings.push_back(text); };
  return out;
}

config::InterfaceConfig QuickWorld::parse(const std::string& file) {
  auto config = config::parse_wg_quick(read(file));
  EXPECT_TRUE(config) << config.error().text(file);
  return config ? std::move(*config) : config::InterfaceConfig{};
}

HostSetup QuickWorld::setup(const std::string& file, const std::string& interface) {
  return {parse(file), interface, file, options()};
}

}  // namespace hats::app::testing
