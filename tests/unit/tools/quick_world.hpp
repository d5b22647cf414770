// A host for HostSetup's tests: network and mount namespaces of its own with an empty /run, an uplink, a TUN
// interface held open as the tunnel's device, a folder that is first in PATH for stand-in programs, and a
// device that only remembers what it was told. Every test starts with a fresh one and goes back to the old
// namespaces at its end.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tools/hatsd-user/quick/host_setup.hpp"

namespace hats::app::testing {

/// A device without a tunnel behind it: a snapshot that configure() and set_fwmark() change.
class MemoryDevice : public DeviceControl {
 public:
  std::expected<void, ConfigError> configure(const config::InterfaceConfig& config) override;
  std::expected<void, ConfigError> reconfigure(const config::InterfaceConfig& old_config,
                                               const config::InterfaceConfig& new_config) override;
  std::expected<wg::DeviceSnapshot, std::string> snapshot() override;
  std::expected<void, std::string> set_fwmark(uint32_t mark) override;
  void set_warnings(std::vector<std::string> texts) override { standing = std::move(texts); }

  uint32_t fwmark = 0;
  bool refuse_configure = false;
  bool refuse_fwmark = false;
  std::vector<std::string> calls;
  std::vector<std::string> standing;  // warnings

 private:
  std::vector<wg::PeerUpdate> peers_;
};

class QuickWorld : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// Output of a shell command (both streams); fails the test if the command fails and `check` is set.
  static std::string sh(const std::string& command, bool check = true);
  /// What the host looks like to ip(8) and nft(8), without the TUN interface `but` and without counters of
  /// time.
  static std::string state();
  /// Writes NAME.conf: the keys first, then `interface_lines`, then `peers`.
  std::string file(const std::string& interface_lines, const std::string& peers = "");
  static std::string peer(const std::string& allowed_ips, const std::string& endpoint = "", char key = 'A');
  /// An executable stand-in of a program.
  void program(const std::string& name, const std::string& script) const;
  static std::string read(const std::string& path);
  [[nodiscard]] std::string path(const std::string& name) const { return dir_ + "/" + name; }

  /// The tunnel's device, made as the daemon makes it, down; and its end.
  void make_device(const std::string& name = "wgq");
  void delete_device(const std::string& name = "wgq");
  HostOptions options();
  HostSetup setup(const std::string& file, const std::string& interface = "wgq");
  static config::InterfaceConfig parse(const std::string& file);

  MemoryDevice device;
  std::vector<std::string> warnings;
  int interrupt_fd = -1;

 private:
  std::string dir_, old_path_;
  int old_net_ = -1, old_mnt_ = -1;
  std::map<std::string, int> tuns_;
};

}  // namespace hats::app::testing
