// The command line: words and environment to a command, and which file a word means (DESIGN.md 7).
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "tools/hatsd-user/cli/cli.hpp"
#include "tools/hatsd-user/cli/commands.hpp"
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

TEST(CommandLineTest, AWordThatIsMeantAsACommandMakesNoInterface) {
  for (const char* word : {"help", "status", "stop", "list"}) {
    const auto refused = parse({word});
    EXPECT_FALSE(refused.run);
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_NE(refused.text.find(std::string("hatsd-user -- ") + word), std::string::npos) << refused.text;
    EXPECT_TRUE(parse({"--", word}).run);
  }
}

TEST(CommandLineTest, AnOptionInTheWrongPlaceIsToldWhereItBelongs) {
  for (const std::vector<const char*>& words : {std::vector<const char*>{"--io=epoll", "up", "a.conf"},
                                                {"wg0", "--io", "epoll"},
                                                {"show", "--io=epoll"}}) {
    const auto refused = parse(words);
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_EQ(refused.text, "hatsd-user: --io is an option of `up`, and is written after that word\n");
  }
  EXPECT_NE(parse({"up", "a.conf", "--json"}).text.find("`show`, `bench`"), std::string::npos);
  // An option that stands where it belongs is not blamed for one that nobody knows.
  const auto unknown = parse({"up", "--io=epoll", "a.conf", "--colour"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_NE(unknown.text.find("--colour"), std::string::npos) << unknown.text;
  EXPECT_EQ(unknown.text.find("--io"), std::string::npos) << unknown.text;
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

TEST(CommandLineTest, AnEmptyValueIsRefusedAndDoesNotTakeTheNextWord) {
  const std::pair<std::string, std::string> right[] = {{"--io", "auto, uring or epoll"},
                                                       {"--tun-offload", "auto or off"},
                                                       {"--workers", "from 1 to 64"},
                                                       {"--memory", "from 2 to 4096"},
                                                       {"--log-level", "silent, error, warning"}};
  for (const auto& [option, values] : right) {
    const std::string joined = option + "=";
    for (const auto& refused :
         {parse({"up", option.c_str(), "", "a.conf"}), parse({"up", joined.c_str(), "a.conf"})}) {
      EXPECT_FALSE(refused.run) << option;
      EXPECT_EQ(refused.exit_code, 2) << option;
      EXPECT_TRUE(refused.text.starts_with("hatsd-user: " + option + ": '' is not possible")) << refused.text;
      EXPECT_NE(refused.text.find(values), std::string::npos) << refused.text;
    }
  }
  for (const char* option : {"--seconds=", "--rounds="}) {
    const auto refused = parse({"bench", option});
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_NE(refused.text.find("nothing follows the '='"), std::string::npos) << refused.text;
  }
  EXPECT_EQ(parse({"bench", "--seconds", ""}).exit_code, 2);
  EXPECT_TRUE(parse({"tunnel", "add", "--io="}).run) << "its words are its own";
}

TEST(CommandLineTest, RealtimeAndMemoryHaveAnOptionAndAVariableEach) {
  EXPECT_FALSE(parse({"up", "a.conf"}).line.settings.realtime);
  EXPECT_EQ(parse({"up", "a.conf"}).line.settings.memory_mib, 0U);
  const auto given = parse({"up", "--realtime", "--memory=8", "a.conf"}, {{"HATSD_MEMORY", "4"}});
  EXPECT_TRUE(given.line.settings.realtime);
  EXPECT_EQ(given.line.settings.memory_mib, 8U);
  EXPECT_TRUE(parse({"wg0"}, {{"HATSD_REALTIME", "on"}}).line.settings.realtime);
  for (const char* bad : {"1", "4097", "-1", "8M", "lots"}) {
    const auto refused = parse({"up", "--memory", bad, "a.conf"});
    EXPECT_EQ(refused.exit_code, 2) << bad;
    EXPECT_NE(refused.text.find("--memory"), std::string::npos) << refused.text;
  }
  EXPECT_EQ(parse({"wg0"}, {{"HATSD_REALTIME", "yes"}}).exit_code, 2);
}

TEST(CommandLineTest, LogLevelOfWgQuickCountsOnlyWhereOursIsUnset) {
  EXPECT_EQ(parse({"wg0"}, {{"LOG_LEVEL", "verbose"}}).line.settings.log_level, LogLevel::debug);
  EXPECT_EQ(parse({"wg0"}, {{"LOG_LEVEL", "verbose"}, {"HATSD_LOG_LEVEL", "error"}}).line.settings.log_level,
            LogLevel::error);
  EXPECT_TRUE(parse({"wg0"}, {{"LOG_LEVEL", "somebody's own word"}}).run);
}

TEST(CommandLineTest, BenchHasItsDefaultsAndRefusesRunsWithoutLength) {
  auto parsed = parse({"bench"});
  ASSERT_TRUE(parsed.run) << parsed.text;
  EXPECT_EQ(parsed.line.command, Command::bench);
  EXPECT_EQ(parsed.line.bench.tunnels.rounds, 3U);
  EXPECT_EQ(parsed.line.bench.tunnels.seconds, 2);
  EXPECT_FALSE(parsed.line.bench.json);
  parsed = parse({"bench", "--json", "--seconds", "0.5", "--rounds=1"});
  ASSERT_TRUE(parsed.run) << parsed.text;
  EXPECT_EQ(parsed.line.bench.tunnels.rounds, 1U);
  EXPECT_EQ(parsed.line.bench.tunnels.seconds, 0.5);
  EXPECT_TRUE(parsed.line.bench.json);
  for (const char* bad : {"--seconds=0", "--seconds=-1", "--seconds=x", "--rounds=0", "--nonsense"}) {
    parsed = parse({"bench", bad});
    EXPECT_FALSE(parsed.run) << bad;
    EXPECT_EQ(parsed.exit_code, 2) << bad;
  }
}

TEST(CommandLineTest, TheWordsAfterTunnelAreLeftToItsOwnGrammar) {
  const auto parsed = parse({"tunnel", "-6", "add", "x", "mode", "ip6gre", "--help"});
  ASSERT_TRUE(parsed.run) << parsed.text;
  EXPECT_EQ(parsed.line.command, Command::tunnel);
  EXPECT_EQ(parsed.line.names, (std::vector<std::string>{"-6", "add", "x", "mode", "ip6gre", "--help"}));
}

TEST(CommandLineTest, ACommandWithoutItsConfigSaysWhatThatCanBe) {
  for (const char* command : {"up", "check"}) {
    const auto refused = parse({command});
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_TRUE(refused.text.starts_with(std::string("hatsd-user: ") + command + ": give a CONFIG: "))
        << refused.text;
    for (const char* place : {"*.netdev", "/etc/hatsd-user", "/etc/wireguard", "netplan"})
      EXPECT_NE(refused.text.find(place), std::string::npos) << refused.text;
  }
  EXPECT_EQ(parse({"reload"}).exit_code, 2);
  EXPECT_NE(parse({"reload"}).text.find("reload: give the NAME"), std::string::npos);
}

TEST(CommandLineTest, EachCommandTellsItsUsageWhenAsked) {
  for (const char* command :
       {"up", "down", "show", "check", "reload", "bench", "genkey", "genpsk", "pubkey"}) {
    for (const char* word : {"--help", "-h"}) {
      const auto told = parse({command, word});
      EXPECT_FALSE(told.run);
      EXPECT_EQ(told.exit_code, 0);
      EXPECT_NE(told.text.find(std::string("Usage: hatsd-user ") + command), std::string::npos) << told.text;
    }
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
    folders.root = root_;
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
  for (const char* word : {"sixteen-letters1.conf", "{name}", "nowhere", "/elsewhere/x.json"}) {
    const auto found = find_config(word, folders);
    ASSERT_FALSE(found) << word;
    EXPECT_EQ(found.error().exit_code, 2) << word;
    EXPECT_NE(found.error().message.find(word), std::string::npos) << found.error().message;
  }
}

TEST_F(ConfigLookupTest, NetworkdAndNetplanAreLookedThroughAfterTheFoldersOfFiles) {
  const std::string networkd = folders.root + "/etc/systemd/network", netplan = folders.root + "/etc/netplan";
  std::filesystem::create_directories(networkd);
  std::filesystem::create_directories(netplan);
  std::ofstream(networkd + "/10-x.netdev")
      << "[NetDev]\nName=hats0\nKind=gre\n[Tunnel]\nRemote=192.0.2.2\nLocal=192.0.2.1\n";
  std::ofstream(netplan + "/10-x.yaml")
      << "network:\n  version: 2\n  tunnels:\n    hats0: {mode: sit, local: 192.0.2.1, remote: 192.0.2.2}\n"
         "    hats1: {mode: gre, local: 192.0.2.1, remote: 192.0.2.3}\n";
  std::vector<std::string> warnings;
  auto loaded = load_config("hats0", warnings, folders);
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_EQ(loaded->size(), 1U);
  EXPECT_EQ(loaded->front().name, "hats0");
  EXPECT_EQ(loaded->front().found, "hats0");
  EXPECT_EQ(loaded->front().config.format, config::Format::networkd);
  ASSERT_FALSE(warnings.empty());
  EXPECT_NE(warnings.front().find("tunnels.hats0 of netplan is not"), std::string::npos) << warnings.front();
  loaded = load_config("hats1", warnings, folders);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->front().config.format, config::Format::netplan);
  // By path: every tunnel of that file.
  loaded = load_config(netplan + "/10-x.yaml", warnings, folders);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->size(), 2U);
  EXPECT_EQ(loaded->front().found, netplan + "/10-x.yaml");
  loaded = load_config(networkd + "/10-x.netdev", warnings, folders);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->front().config.tunnel->tunnel.remote.text(), "192.0.2.2");
}

TEST(CommandLineTest, AFirstWordThatIsNoCommandIsBlamedAndNotTheOneBehindIt) {
  EXPECT_NE(parse({"restart", "hats0"}).text.find("'restart' is no command"), std::string::npos);
  const auto near = parse({"shwo", "hats0"});
  EXPECT_EQ(near.exit_code, 2);
  EXPECT_NE(near.text.find("'shwo' is no command; did you mean show?"), std::string::npos) << near.text;
  EXPECT_EQ(near.text.find("hats0"), std::string::npos) << near.text;
}

TEST_F(ConfigLookupTest, AKindThatIsNotOursIsNamed) {
  const std::string networkd = folders.root + "/etc/systemd/network";
  std::filesystem::create_directories(networkd);
  std::ofstream(networkd + "/10-v.netdev") << "[NetDev]\nName=vti7\nKind=vti\n";
  std::vector<std::string> warnings;
  const auto refused = load_config("vti7", warnings, folders);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().exit_code, 2);
  EXPECT_NE(refused.error().message.find("10-v.netdev:3: Kind: 'vti' is not a kind that hatsd-user makes"),
            std::string::npos)
      << refused.error().message;
}

TEST_F(ConfigLookupTest, NamesThatThisHostDoesNotKnowAreFaultsOfConfiguration) {
  const std::pair<const char*, const char*> faults[] = {
      {"Table = no-such-table\n", "a.conf:2: Table: 'no-such-table' is no routing table"},
      {"ListenPort = no-such-service\n", "a.conf:2: ListenPort: 'no-such-service' is no service"}};
  for (const auto& [line, expected] : faults) {
    const std::string path = folders.own + "/a.conf";
    std::ofstream(path) << "[Interface]\n" << line;
    std::vector<std::string> warnings;
    const auto refused = load_config(path, warnings, folders);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().exit_code, 2);
    EXPECT_NE(refused.error().message.find(expected), std::string::npos) << refused.error().message;
  }
}

TEST(CommandTest, NoCommandThatReadsOrMakesKeysCanLeaveACoreDump) {
  for (const Command command : {Command::up, Command::check, Command::reload}) {
    CommandLine line;
    line.command = command;
    line.names = {"/nowhere/a.conf"};
    const pid_t child = fork();
    if (child == 0) {
      rlimit limit{1, 1};
      const int code = run_command(line);
      const bool good = code != 0 && prctl(PR_GET_DUMPABLE) == 0 && getrlimit(RLIMIT_CORE, &limit) == 0 &&
                        limit.rlim_cur == 0;
      _exit(good ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << static_cast<int>(command);
  }
}

TEST_F(ConfigLookupTest, SourcesSurviveTheWayOverTheControlSocket) {
  const std::string networkd = folders.root + "/etc/systemd/network";
  std::filesystem::create_directories(networkd);
  std::ofstream(networkd + "/10-x.netdev") << "[NetDev]\nName=hats0\nKind=sit\n[Tunnel]\nRemote=192.0.2.2\n";
  std::ofstream(networkd + "/10-x.network") << "[Match]\nName=hats0\n[Network]\nAddress=fd77::1/64\n";
  std::vector<std::string> warnings;
  const auto loaded = load_config("hats0", warnings, folders);
  ASSERT_TRUE(loaded) << loaded.error().message;
  const InterfaceFile& file = loaded->front();
  const auto again =
      parse_interface_file("hats0", file.path, {}, sources_from_json(sources_to_json(file.sources)));
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_EQ(again->config.addresses.size(), 1U);
  EXPECT_EQ(again->config.addresses[0].prefix.text(), "fd77::1/64");
  EXPECT_EQ(again->config.tunnel->tunnel, file.config.tunnel->tunnel);
}

}  // namespace
}  // namespace hats::app
