// Which of netplan's files are read, in which order, and what becomes of those that cannot be
// (formats.md 3.1).
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "core/config/netplan.hpp"
#include "tools/hatsd-user/cli/config_lookup.hpp"
#include "tools/hatsd-user/cli/netplan_files.hpp"

namespace hats::app {
namespace {

const std::string kKey = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

class NetplanFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "netplanXXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = root_ + name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path;
  }
  /// The paths below the root, in order.
  [[nodiscard]] std::string listed() const {
    const auto loaded = load_netplan(root_);
    if (!loaded) return loaded.error().message;
    std::string out;
    for (const auto& source : loaded->sources)
      out += source.path.substr(root_.size()) + "=" + source.text + " ";
    return out;
  }

  std::string root_;
};

TEST_F(NetplanFilesTest, FilesComeInTheOrderOfTheirBasenames) {
  write("/etc/netplan/50-b.yaml", "1");
  write("/run/netplan/10-a.yaml", "2");
  write("/lib/netplan/90-c.yaml", "3");
  write("/etc/netplan/9-d.yaml", "4");
  EXPECT_EQ(
      listed(),
      "/run/netplan/10-a.yaml=2 /etc/netplan/50-b.yaml=1 /etc/netplan/9-d.yaml=4 /lib/netplan/90-c.yaml=3 ");
}

TEST_F(NetplanFilesTest, RunShadowsEtcShadowsLib) {
  write("/lib/netplan/10-a.yaml", "lib");
  write("/lib/netplan/20-a.yaml", "lib");
  write("/lib/netplan/30-a.yaml", "lib");
  write("/etc/netplan/20-a.yaml", "etc");
  write("/etc/netplan/30-a.yaml", "etc");
  write("/run/netplan/30-a.yaml", "run");
  EXPECT_EQ(listed(), "/lib/netplan/10-a.yaml=lib /etc/netplan/20-a.yaml=etc /run/netplan/30-a.yaml=run ");
}

TEST_F(NetplanFilesTest, OtherFilesAreNotNetplans) {
  write("/etc/netplan/a.yml", "1");
  write("/etc/netplan/a.yaml~", "1");
  write("/etc/netplan/.a.yaml", "1");
  write("/etc/netplan/sub/a.yaml", "1");
  EXPECT_EQ(listed(), "");
  EXPECT_EQ(load_netplan(root_ + "/nowhere")->sources.size(), 0u);
}

TEST_F(NetplanFilesTest, ALinkToDevNullIsAnEmptyFile) {
  write("/lib/netplan/a.yaml", "lib");
  std::filesystem::create_directories(root_ + "/etc/netplan");
  std::filesystem::create_symlink("/dev/null", root_ + "/etc/netplan/a.yaml");
  EXPECT_EQ(listed(), "/etc/netplan/a.yaml= ");
}

TEST_F(NetplanFilesTest, WhatCannotBeReadIsNamed) {
  std::filesystem::create_directories(root_ + "/etc/netplan");
  const std::string path = root_ + "/etc/netplan/a.yaml";
  std::filesystem::create_symlink("/nowhere/at/all", path);
  EXPECT_EQ(listed(), path + ":1: No such file or directory");
  EXPECT_EQ(load_netplan(root_).error().exit_code, 2);
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_EQ(listed(), path + ":1: is not a file");
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(listed(), path + ":1: is not a file");
  std::filesystem::remove(path);
  std::filesystem::create_symlink("/dev/zero", path);
  EXPECT_EQ(listed(), path + ":1: is not a file");
  std::filesystem::remove(path);
  write("/etc/netplan/a.yaml", "");
  std::filesystem::resize_file(path, (16U << 20) + 1);
  EXPECT_EQ(listed(), path + ":1: is larger than 16777216 bytes");
}

TEST_F(NetplanFilesTest, OneFileMayBeReadAlone) {
  const std::string path = write("/somewhere/mine.yaml", "text");
  const auto loaded = load_netplan_file(path);
  ASSERT_TRUE(loaded);
  ASSERT_EQ(loaded->sources.size(), 1u);
  EXPECT_EQ(loaded->sources[0].path, path);
  EXPECT_EQ(loaded->sources[0].text, "text");
  EXPECT_EQ(load_netplan_file("/nowhere.yaml").error().message, "/nowhere.yaml:1: No such file or directory");
}

TEST_F(NetplanFilesTest, ATunnelFoundByNameIsOfTheFileThatDefinesIt) {
  const ConfigFolders folders{.own = root_ + "/own", .wireguard = root_ + "/wireguard", .root = root_};
  write("/etc/netplan/10-a.yaml", "network: {ethernets: {}}\n");
  const std::string path =
      write("/etc/netplan/20-b.yaml", "network: {tunnels: {hats0: {mode: gre, remote: 192.0.2.2}}}\n");
  write("/etc/netplan/30-c.yaml", "network: {tunnels: {hats0: {mtu: 1400}, hats1: {mode: gre}}}\n");
  write("/etc/netplan/40-d.yaml", "network: {tunnels: {hats2: {mode: sit}}}\n");
  std::vector<std::string> warnings;
  const auto found = load_config("hats0", warnings, folders);
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->front().path, path);
  EXPECT_EQ(found->front().config.mtu, 1400u);
}

TEST_F(NetplanFilesTest, TheFaultsOfAllTunnelsOfAFileAreTold) {
  const std::string path = write(
      "/mine.yaml",
      "network:\n  tunnels:\n    a: {mode: gre}\n    b: {mode: x}\n    c: {mode: gre, remote: 192.0.2.2}\n");
  std::vector<std::string> warnings;
  const auto found = load_config(path, warnings);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message,
            path + ":3: remote: the tunnel needs the address of its other end\n" + path +
                ":4: mode: 'x' is not a mode; hatsd-user runs wireguard gre sit ip6gre ipip");
}

TEST_F(NetplanFilesTest, TheKeyFilesOfATunnelAreRead) {
  const std::string secret = write("/keys/private", kKey + "\n");
  const std::string head = "network:\n  tunnels:\n    hats0:\n      mode: wireguard\n      key: ";
  const std::string path = write("/etc/netplan/a.yaml", head + secret + "\n");
  write("/etc/netplan/b.yaml", "network: {tunnels: {other: {mode: gre}}}\n");
  write("/etc/netplan/c.yaml", "network: {tunnels: {hats0: {mtu: 1400}}}\n");
  auto loaded = load_netplan(root_);
  ASSERT_TRUE(loaded);
  const auto files = config::NetplanFiles::read(loaded->sources);
  ASSERT_TRUE(files);
  ASSERT_TRUE(load_netplan_keys(*loaded, *files, "hats0"));
  const auto config = config::parse_netplan(loaded->sources, "hats0", loaded->key_files);
  ASSERT_TRUE(config);
  EXPECT_EQ(crypto::key_to_base64(config->private_key->view()), kKey);
  EXPECT_EQ(config->mtu, 1400u);

  std::filesystem::remove(secret);
  const auto missing = load_netplan_keys(*loaded, *files, "hats0");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message,
            path + ":5: key: the key file " + secret + ": No such file or directory");
  EXPECT_EQ(missing.error().exit_code, 2);
  EXPECT_TRUE(loaded->key_files.empty());
  write("/keys/private", std::string(4097, 'x'));
  EXPECT_EQ(load_netplan_keys(*loaded, *files, "hats0").error().message,
            path + ":5: key: the key file " + secret + ": is larger than 4096 bytes");
  EXPECT_TRUE(load_netplan_keys(*loaded, *files, "other"));
}

}  // namespace
}  // namespace hats::app
