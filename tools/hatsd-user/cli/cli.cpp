#include "tools/hatsd-user/cli/cli.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <span>
#include <sstream>

#include "core/config/text.hpp"
#include "tools/hatsd-user/cli/commands.hpp"
#include "tools/hatsd-user/daemon/launch.hpp"

namespace hats::app {

namespace {

constexpr const char* kDescription =
    "Layer-3 tunnels in user space, without a kernel module: WireGuard, GRE, SIT, ip6gre, from the files of "
    "wg-quick,\n"
    "systemd-networkd and netplan, or in the words of `ip tunnel`.\n"
    "A bare NAME makes one interface for wg(8) and wg-quick(8) to configure.";

constexpr const char* kEnvironment =
    "Environment: HATSD_IO, HATSD_TUN_OFFLOAD, HATSD_WORKERS, HATSD_REALTIME, HATSD_MEMORY, HATSD_LOG_LEVEL "
    "set the defaults of the "
    "options of `up`, "
    "HATSD_AEAD=auto|sodium|ipsec-mb chooses the cipher's implementation.\n"
    "An interface that is named like a command needs `--` before it. See hatsd-user(8).";

/// An option of `up` with a value, on top of the environment's.
struct UpOption {
  const char* setting;  // its name for apply_setting()
  const char* help;
  std::string text{};
  CLI::Option* option = nullptr;
};

using UpOptions = std::array<UpOption, 5>;

UpOptions up_options() {
  return {{{"io", "Packet loop: auto, uring, epoll"},
           {"tun-offload", "Segmentation offload of TUN: auto, off"},
           {"workers", "Threads that carry packets (1-64)"},
           {"memory", "MiB for packets at the most, all workers together"},
           {"log-level", "silent, error, warning, info, debug (or verbose)"}}};
}

AppResult<void> apply_options(Settings& settings, const UpOptions& options, bool realtime) {
  for (const UpOption& given : options) {
    if (given.option->count() == 0) continue;
    if (auto done = apply_setting(settings, given.setting, given.text, std::string("--") + given.setting);
        !done)
      return done;
  }
  if (realtime) settings.realtime = true;
  return {};
}

/// `--option=` with nothing behind it: the parser would take the next word for the value.
AppResult<void> check_values_are_there(std::span<const char* const> words, const CLI::App& app,
                                       const UpOptions& options) {
  const auto is_command = [](std::string_view word) { return !word.starts_with('-'); };
  const auto first = std::ranges::find_if(words, is_command);
  const bool is_tunnel = first != words.end() && std::string_view(*first) == "tunnel";
  for (const std::string_view word : is_tunnel ? std::span(words.begin(), first) : words) {
    if (word == "--") break;
    if (!word.starts_with("--") || !word.ends_with('=')) continue;
    const std::string option(word.substr(0, word.size() - 1));
    for (const UpOption& known : options) {
      Settings scratch;
      if (option.substr(2) != known.setting) continue;
      if (auto refused = apply_setting(scratch, known.setting, "", option); !refused) return refused;
    }
    for (const CLI::App* command : app.get_subcommands({})) {
      if (command->get_option_no_throw(option) != nullptr)
        return fail(option + ": nothing follows the '='; see hatsd-user " + command->get_name() + " --help",
                    kExitUsage);
    }
  }
  return {};
}

/// Words that are typed in the belief that there is such a command. A bare one would make an interface.
bool looks_like_a_command(std::string_view word) {
  constexpr std::string_view kWords[] = {"help",    "status",   "start",  "stop",   "restart", "list",
                                         "version", "add",      "del",    "delete", "set",     "get",
                                         "enable",  "disable",  "change", "link",   "addr",    "address",
                                         "route",   "showconf", "setconf"};
  return std::ranges::find(kWords, word) != std::end(kWords);
}

bool true_word(const char* text) {
  return text != nullptr && std::strcmp(text, "1") == 0;
}

/// For the first of the words that the parser could not place that is an option of other commands: which they
/// are. Empty if none is.
std::string misplaced_option(const CLI::App& app) {
  constexpr bool kOfCommandsToo = true;
  for (const std::string& word : app.remaining(kOfCommandsToo)) {
    const std::string option = word.substr(0, word.find('='));
    if (!option.starts_with("-")) continue;
    std::string commands;
    for (const CLI::App* command : app.get_subcommands({})) {
      if (command->get_option_no_throw(option) == nullptr) continue;
      if (!commands.empty()) commands += ", ";
      commands.append("`").append(command->get_name()).append("`");
    }
    if (commands.empty()) continue;
    return std::string(option)
        .append(" is an option of ")
        .append(commands)
        .append(", and is written after that word");
  }
  return {};
}

/// For a first word that is no command, with others behind it.
std::string no_command(const CLI::App& app, const std::string& word) {
  std::string out = "'" + word + "' is no command";
  std::vector<std::string_view> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  const std::string_view meant = config::nearest(word, names);
  if (!meant.empty()) out.append("; did you mean ").append(meant).append("?");
  return out + " See hatsd-user --help.";
}

/// For a command that needs a CONFIG or a NAME and has none: what it can be.
std::string lacking_word(const CLI::App& app) {
  for (const CLI::App* command : app.get_subcommands()) {
    const std::string& name = command->get_name();
    if (name == "reload")
      return "reload: give the NAME of an interface that is up, or its file; `hatsd-user show` lists them";
    if (name != "up" && name != "check") continue;
    return name +
           ": give a CONFIG: a file by its path (NAME.conf, *.netdev, *.yaml), or the NAME of an interface, "
           "which is looked for in /etc/hatsd-user, in /etc/wireguard, and in the files of systemd-networkd "
           "and of netplan";
  }
  return {};
}

ParsedCommandLine refused(const AppError& error) {
  return {
      .line = {}, .run = false, .text = "hatsd-user: " + error.message + "\n", .exit_code = error.exit_code};
}

}  // namespace

ParsedCommandLine parse_command_line(int argc, const char* const* argv, Environment environment) {
  ParsedCommandLine out;
  CommandLine& line = out.line;
  UpOptions options = up_options();
  bool realtime = false;
  bool foreground = false;

  CLI::App app(kDescription, "hatsd-user");
  app.footer(kEnvironment);
  app.set_version_flag("--version", "hatsd-user " HATSD_VERSION);
  app.add_flag("-f,--foreground", foreground, "Stay in the foreground, log to standard error");
  std::string bare;
  app.add_option("NAME", bare, "Make the interface NAME, to be configured by wg(8)");
  app.require_subcommand(0, 1);

  CLI::App* up = app.add_subcommand("up", "Bring interfaces up from their files, all or none");
  up->add_flag("-f,--foreground", foreground, "Stay in the foreground, log to standard error");
  for (UpOption& one : options)
    one.option = up->add_option(std::string("--") + one.setting, one.text, one.help);
  up->add_flag("--realtime", realtime, "Packets go first (SCHED_FIFO): lower latency under load");
  up->add_option("CONFIG", line.names,
                 "A file (NAME.conf, *.netdev, *.yaml), or the NAME of an interface to look up")
      ->required();

  CLI::App* down = app.add_subcommand("down", "Take interfaces down, with all that came with them");
  down->add_flag("--all", line.all, "All interfaces of this network namespace");
  down->add_option("NAME", line.names, "Interfaces (or their files)");

  CLI::App* show = app.add_subcommand("show", "Tell how interfaces are");
  show->add_flag("--json", line.json, "As JSON");
  show->add_option("NAME", line.names, "Interfaces (or their files); all if none is given");

  CLI::App* check = app.add_subcommand("check", "Read files, explain them, bring nothing up");
  check->add_option("CONFIG", line.names, "As for up")->required();

  CLI::App* reload = app.add_subcommand("reload", "Apply a changed file without dropping sessions");
  reload->add_option("NAME", line.names, "The interface (or its file; all tunnels of a netplan file)")
      ->required()
      ->expected(1);

  CLI::App* genkey = app.add_subcommand("genkey", "Write a new private key");
  CLI::App* genpsk = app.add_subcommand("genpsk", "Write a new preshared key");
  CLI::App* pubkey = app.add_subcommand("pubkey", "Read a private key, write its public key");
  CLI::App* tunnel =
      app.add_subcommand("tunnel", "GRE, SIT, ip6gre and IPIP tunnels, in the words of `ip tunnel`");
  tunnel->prefix_command();  // its words are not ours to judge: "-6", "help"
  tunnel->set_help_flag();

  CLI::App* bench = app.add_subcommand("bench", "Measure what this host can carry, and what holds it back");
  bench->add_flag("--json", line.bench.json, "As JSON");
  bench->add_option("--seconds", line.bench.tunnels.seconds, "Of each TCP run (2)")
      ->check(CLI::Range(0.2, 60.0));
  bench->add_option("--rounds", line.bench.tunnels.rounds, "Of all variants (3)")->check(CLI::Range(1, 100));

  const auto words = std::span(argv, static_cast<size_t>(argc)).subspan(argc > 0 ? 1 : 0);
  if (auto complete = check_values_are_there(words, app, options); !complete)
    return refused(complete.error());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError& error) {
    std::string hint = misplaced_option(app);
    if (hint.empty() && !bare.empty() && app.get_subcommands().empty()) hint = no_command(app, bare);
    return refused(
        {hint.empty() ? std::string(error.what()) + "\nSee hatsd-user --help." : hint, kExitUsage});
  } catch (const CLI::RequiredError& error) {
    const std::string lacks = lacking_word(app);
    return refused(
        {lacks.empty() ? std::string(error.what()) + "\nSee hatsd-user --help." : lacks, kExitUsage});
  } catch (const CLI::ParseError& error) {
    std::ostringstream to_out, to_error;
    const bool asked = app.exit(error, to_out, to_error) == 0;
    out.text = asked ? to_out.str() : "hatsd-user: " + to_error.str();
    out.exit_code = asked ? 0 : kExitUsage;
    return out;
  }

  auto settings = settings_from_environment(environment);
  if (!settings) return refused(settings.error());
  line.settings = *settings;
  if (auto applied = apply_options(line.settings, options, realtime); !applied)
    return refused(applied.error());
  line.settings.foreground = foreground;

  if (tunnel->parsed()) {
    line.command = Command::tunnel;
    line.names = tunnel->remaining();
  }
  if (bench->parsed()) line.command = Command::bench;
  if (up->parsed()) line.command = Command::up;
  if (down->parsed()) line.command = Command::down;
  if (show->parsed()) line.command = Command::show;
  if (check->parsed()) line.command = Command::check;
  if (reload->parsed()) line.command = Command::reload;
  if (genkey->parsed()) line.command = Command::genkey;
  if (genpsk->parsed()) line.command = Command::genpsk;
  if (pubkey->parsed()) line.command = Command::pubkey;

  if (line.command == Command::down && line.names.empty() && !line.all) {
    return refused({"down: give the NAME of an interface, or --all", kExitUsage});
  }
  if (line.command == Command::bare) {
    if (bare.empty()) {
      out.text = app.help();
      out.exit_code = kExitUsage;
      return out;
    }
    if (looks_like_a_command(bare) && std::find(argv, argv + argc, std::string_view("--")) == argv + argc) {
      return refused({"'" + bare +
                          "' is no command: see hatsd-user --help. If an interface is to have this name: "
                          "hatsd-user -- " +
                          bare,
                      kExitUsage});
    }
    line.names = {bare};
    // peers.md 4: wg-quick can pass no flag, so its users set this.
    if (true_word(environment("WG_PROCESS_FOREGROUND"))) line.settings.foreground = true;
  }
  out.run = true;
  return out;
}

namespace {

/// So that nothing of ours takes the number of a stream that whoever started us has closed. Nothing can be
/// written there, as before.
void fill_closed_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) < 0) (void)open("/dev/null", O_RDONLY);
  }
}

}  // namespace

int run_command_line(int argc, char** argv) {
  fill_closed_streams();
  const auto environment = +[](const char* name) -> const char* {
    return std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody calls setenv
  };
  const ParsedCommandLine parsed = parse_command_line(argc, argv, environment);
  if (!parsed.run) {
    (parsed.exit_code == 0 ? std::cout : std::cerr) << parsed.text << std::flush;
    return parsed.exit_code;
  }
  const int code = run_command(parsed.line);
  std::cout.flush();
  // Not exit(): a name look-up that hangs must not hold the end of the process.
  (void)std::fflush(nullptr);
  _exit(code);
}

}  // namespace hats::app
