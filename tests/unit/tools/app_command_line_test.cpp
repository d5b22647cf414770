// The command line: words and environment to a command, and which file a word means (DESIGN.md 7).
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "tools/hatsd-user/cli/cli.hpp"
#include "tools/hatsd-user/cli/config_lookup.hpp"

namespace hats::app {
namespace {

std::map<std::string, std::string>& variables() {
  static std::map<std::string, std::string> map;
  return map;
}

const char* environment(const char* name) {
  const auto found = variables().find(name);
  return found == variables().end() ? nullptr : found->second.c_str();
}

ParsedCommandLine parse(std::vector<const char*> words, std::map<std::string, std::string> set = {}) {
  variables() = std::move(set);
  words.insert(words.begin(), "hatsd-user");
  return parse_command_line(static_cast<int>(words.size()), words.data(), environment);
}

TEST(CommandLineTest, ABareNameIsAnInterfaceToMake) {
  const auto parsed = parse({"-f", "wg0"});
  ASSERT_TRUE(parsed.run);
  EXPECT_EQ(parsed.line.command, Command::bare);
  EXPECT_EQ(parsed.line.names, std::vector<std::string>{"wg0"});
  EXPECT_TRUE(parsed.line.settings.foreground);
}

TEST(CommandLineTest, AnInterfaceNamedLikeACommandNeedsTwoDashes) {
  const auto parsed = parse({"--", "show"});
  ASSERT_TRUE(parsed.run);
  EXPECT_EQ(parsed.line.command, Command::bare);
  EXPECT_EQ(parsed.line.names, std::vector<std::string>{"show"});
}

TEST(CommandLineTest, AnOptionOverridesTheEnvironmentAndABadValueOfEitherIsRefused) {
  auto parsed =
      parse({"up", "--io=epoll", "a.conf", "b.conf"}, {{"HATSD_IO", "uring"}, {"HATSD_WORKERS", "3"}});
  ASSERT_TRUE(parsed.run);
  EXPECT_EQ(parsed.line.settings.io, transport::IoChoice::epoll);
  EXPECT_EQ(parsed.line.settings.workers, 3U);
  EXPECT_EQ(parsed.line.names.size(), 2U);
  parsed = parse({"up", "--io=fast", "a.conf"});
  EXPECT_FALSE(parsed.run);
  EXPECT_EQ(parsed.exit_code, 2);
  EXPECT_NE(parsed.text.find("--io"), std::string::npos);
  parsed = parse({"show"}, {{"HATSD_AEAD", "rot13"}});
  EXPECT_FALSE(parsed.run);
  EXPECT_EQ(parsed.exit_code, 2);
  EXPECT_NE(parsed.text.find("HATSD_AEAD"), std::string::npos);
}

TEST(CommandLineTest, LogLevelOfWgQuickCountsOnlyWhereOursIsUnset) {
  EXPECT_EQ(parse({"wg0"}, {{"LOG_LEVEL", "verbose"}}).line.settings.log_level, LogLevel::debug);
  EXPECT_EQ(parse({"wg0"}, {{"LOG_LEVEL", "verbose"}, {"HATSD_LOG_LEVEL", "error"}}).line.settings.log_level,
            LogLevel::error);
  EXPECT_TRUE(parse({"wg0"}, {{"LOG_LEVEL", "somebody's own word"}}).run);
}

TEST(CommandLineTest, WordsOfLaterVersionsAreRefusedAndNotTakenForInterfaces) {
  for (const char* word : {"tunnel", "bench"}) {
    const auto parsed = parse({word, "add", "x"});
    EXPECT_FALSE(parsed.run) << word;
    EXPECT_EQ(parsed.exit_code, 2) << word;
    EXPECT_NE(parsed.text.find(word), std::string::npos);
  }
}

TEST(CommandLineTest, DownWithoutANameIsAFaultOfUsage) {
  EXPECT_EQ(parse({"down"}).exit_code, 2);
  EXPECT_TRUE(parse({"down", "--all"}).run);
}

class ConfigLookupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "hatsd-lookup-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    folders.own = root_ + "/own";
    folders.wireguard = root_ + "/wireguard";
    std::filesystem::create_directory(folders.own);
    std::filesystem::create_directory(folders.wireguard);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  static void touch(const std::string& path) { std::ofstream(path) << "[Interface]\n"; }

  ConfigFolders folders;

 private:
  std::string root_;
};

TEST_F(ConfigLookupTest, OurOwnFolderWinsAndTheOtherFileIsNamed) {
  touch(folders.wireguard + "/wg0.conf");
  auto found = find_config("wg0", folders);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path, folders.wireguard + "/wg0.conf");
  touch(folders.own + "/wg0.conf");
  found = find_config("wg0", folders);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path, folders.own + "/wg0.conf");
  EXPECT_EQ(found->shadowed, std::vector<std::string>{folders.wireguard + "/wg0.conf"});
}

TEST_F(ConfigLookupTest, AWordWithASlashOrSuffixIsThatFileAlone) {
  touch(folders.own + "/wg0.conf");
  const auto found = find_config("/elsewhere/wg0.conf", folders);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path, "/elsewhere/wg0.conf");
  EXPECT_EQ(found->name, "wg0");
}

TEST_F(ConfigLookupTest, ImpossibleNamesMissingFilesAndOtherFormatsAreFaultsOfConfiguration) {
  for (const char* word :
       {"sixteen-letters1.conf", "{name}", "nowhere", "wg0.netdev", "/etc/netplan/x.yaml"}) {
    const auto found = find_config(word, folders);
    ASSERT_FALSE(found) << word;
    EXPECT_EQ(found.error().exit_code, 2) << word;
    EXPECT_NE(found.error().message.find(word), std::string::npos) << found.error().message;
  }
}

}  // namespace
}  // namespace hats::app
