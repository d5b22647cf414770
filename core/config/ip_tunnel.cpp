// The words taken apart: verb, family, mode, name, options.
#include "core/config/ip_tunnel.hpp"

#include <algorithm>
#include <array>

#include "core/config/ip_tunnel_words.hpp"
#include "core/config/text.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config {
namespace {

using Verb = TunnelCommand::Verb;
using Words = std::span<const std::string>;
using Done = std::expected<void, std::string>;

constexpr uint32_t kMaxKeepaliveInterval = 32'767;  // seconds
constexpr uint32_t kMaxKeepaliveRetries = 255;
constexpr uint32_t kMaxFlowLabel = 0xF'FFFF;

std::unexpected<std::string> fault(std::string_view word, std::string_view text) {
  return std::unexpected(std::string(word) + ": " + std::string(text));
}

/// Each letter of it once.
std::string letters_of(std::string_view word) {
  std::string out(word);
  std::ranges::sort(out);
  const auto rest = std::ranges::unique(out);
  out.erase(rest.begin(), rest.end());
  return out;
}

/// The option that somebody who wrote `word` may have meant, cut short or misspelt; or "".
std::string_view probable_option(std::string_view word) {
  constexpr size_t kLeastCut = 2, kLeastMisspelt = 4;  // letters; shorter ones are like too many options
  const auto* cut =
      std::ranges::find_if(kOptions, [&](const OptionWord& entry) { return entry.word.starts_with(word); });
  if (cut != std::end(kOptions) && word.size() >= kLeastCut) return cut->word;
  // A letter written twice, which is a slip at any length: "tll".
  const auto* doubled = std::ranges::find_if(kOptions, [&](const OptionWord& entry) {
    return entry.word.size() == word.size() && letters_of(entry.word) == letters_of(word);
  });
  if (doubled != std::end(kOptions) && word.size() > kLeastCut) return doubled->word;
  if (word.size() < kLeastMisspelt) return {};
  std::array<std::string_view, std::size(kOptions)> known;
  std::ranges::transform(kOptions, known.begin(), &OptionWord::word);
  return nearest(word, known);
}

class Parser {
 public:
  Parser(Words words, const DsfieldNames& names) : words_(words), names_(names) {}
  std::expected<TunnelCommand, std::string> command();

 private:
  struct Given {
    const OptionWord* option;
    Words values;
  };

  [[nodiscard]] Done placeholders() const;
  Done family_words();
  Done verb();
  Done options();
  Done name(std::string_view word);
  Done mode(std::string_view word);
  Done mode_of_name();
  Done family();
  Done value(const Given& given);
  Done flag(Option option);
  Done over_ipv6(const Given& given);
  Done ours(const Given& given);
  Done whole();

  /// Stores a parsed value, or says which word is wrong.
  template <typename T, typename Target>
  static Done take(std::string_view word, TunnelValue<T>&& parsed, Target& target) {
    if (!parsed) return fault(word, parsed.error());
    target = *std::move(parsed);
    return {};
  }

  Words words_;
  const DsfieldNames& names_;
  Family said_ = Family::none;  // -4, -6
  bool ends_tell_ = false;      // mode ip6gre
  std::vector<Given> given_;
  TunnelCommand out_;
};

std::expected<TunnelCommand, std::string> Parser::command() {
  if (auto done = placeholders(); !done) return std::unexpected(std::move(done.error()));
  using Step = Done (Parser::*)();
  for (const Step step : {&Parser::family_words, &Parser::verb, &Parser::options}) {
    if (auto done = (this->*step)(); !done) return std::unexpected(std::move(done.error()));
    if (out_.verb == Verb::help) return std::move(out_);
  }
  for (const Step step : {&Parser::mode_of_name, &Parser::family}) {
    if (auto done = (this->*step)(); !done) return std::unexpected(std::move(done.error()));
  }
  for (const Given& given : given_) {
    if (auto done = value(given); !done) return std::unexpected(std::move(done.error()));
  }
  if (auto done = whole(); !done) return std::unexpected(std::move(done.error()));
  return std::move(out_);
}

/// A shell takes a placeholder apart at its blanks ("{yourside ip}"): it is looked for in all words together,
/// before any of them is judged alone.
Done Parser::placeholders() const {
  std::string braces, before;
  for (const std::string& word : words_) {
    const bool opens = braces.empty() && word.find('{') != std::string::npos;
    if (opens || !braces.empty()) braces += (braces.empty() ? "" : " ") + word;
    if (braces.empty() && word.find('}') == std::string::npos) {
      before = word;
      continue;
    }
    if (word.find('}') == std::string::npos) continue;
    if (braces.empty()) braces = word;
    break;
  }
  if (braces.empty()) return {};
  const auto message = placeholder_message(braces, false);
  const OptionWord* option = find_option(before);
  // A word that is no option's value is a name.
  const bool is_value = option != nullptr && option->values > 0;
  return fault(is_value ? std::string_view(before) : "name", message.value_or(""));
}

/// As with our other commands; iproute2 has the word alone.
bool asks_for_help(std::string_view word) {
  return word == "--help" || word == "-h" || word == "-help";
}

Done Parser::family_words() {
  while (!words_.empty() && words_[0].size() > 1 && words_[0][0] == '-') {
    const std::string& word = words_[0];
    if (asks_for_help(word)) {
      out_.verb = Verb::help;
      return {};
    }
    words_ = words_.subspan(1);
    if (word == "-4" || word == "-6") {
      said_ = word == "-4" ? Family::v4 : Family::v6;
    } else if (abbreviates(word, "-family")) {
      if (words_.empty() || (words_[0] != "inet" && words_[0] != "inet6"))
        return fault(word, "a family must follow; inet or inet6");
      said_ = words_[0] == "inet" ? Family::v4 : Family::v6;
      words_ = words_.subspan(1);
    } else {
      return std::unexpected(quoted(word) + " is no option here; -4, -6 and -f FAMILY are");
    }
  }
  return {};
}

Done Parser::verb() {
  if (words_.empty()) return {};
  // in iproute2's order: the first that the word abbreviates
  constexpr std::pair<std::string_view, Verb> kVerbs[] = {
      {"add", Verb::add},  {"change", Verb::change}, {"delete", Verb::del}, {"show", Verb::show},
      {"lst", Verb::show}, {"list", Verb::show},     {"help", Verb::help},
  };
  const std::string& word = words_[0];
  const auto* found =
      std::ranges::find_if(kVerbs, [&](const auto& entry) { return abbreviates(word, entry.first); });
  if (found != std::end(kVerbs)) {
    out_.verb = found->second;
    words_ = words_.subspan(1);
    return {};
  }
  if (abbreviates(word, "prl"))
    return fault(word, "ISATAP's router lists are not served; use `mode sit` with `remote`");
  if (abbreviates(word, "6rd")) return fault(word, "6rd is not served; use `mode sit` with `remote`");
  return std::unexpected(quoted(word) + " is no command; add, change, del, show or help");
}

Done Parser::options() {
  while (!words_.empty()) {
    const std::string& word = words_[0];
    words_ = words_.subspan(1);
    const OptionWord* option = find_option(word);
    if (option == nullptr && (abbreviates(word, "help") || asks_for_help(word))) {
      out_.verb = Verb::help;
      return {};
    }
    if (option == nullptr) {
      if (auto done = name(word); !done) return done;
      continue;
    }
    if (words_.size() < option->values) {
      return fault(word, option->values == 1 ? "the value is missing; it must follow"
                                             : "a value is missing; INTERVAL and RETRIES must follow");
    }
    const Words values = words_.first(option->values);
    words_ = words_.subspan(option->values);
    Done done;
    if (option->option == Option::mode) {
      done = mode(values[0]);
    } else if (option->option == Option::name) {
      done = out_.name.empty() ? take("name", parse_tunnel_name(values[0]), out_.name)
                               : fault("name", quoted(values[0]) + " is a second name; one is enough");
    } else {
      given_.push_back({option, values});
    }
    if (!done) return done;
  }
  return {};
}

/// A word that is no option: the interface's name, if there is none yet.
Done Parser::name(std::string_view word) {
  if (const Refusal* refusal = find_refusal(kRefusedOptions, word)) {
    return fault(word, std::string(refusal->reason) + " (an interface of that name: `name " +
                           std::string(word) + "`)");
  }
  if (out_.name.empty()) return take("name", parse_tunnel_name(word), out_.name);
  if (word == "mtu") {
    return std::unexpected("'mtu' is no option of `ip tunnel`; use `ip link set " + printable_key(out_.name) +
                           " mtu BYTES`");
  }
  if (const std::string_view meant = probable_option(word); !meant.empty()) {
    return std::unexpected(quoted(word) + " is no option of `ip tunnel`; did you mean " + std::string(meant) +
                           "?");
  }
  return fault("name", "either " + quoted(out_.name) + " and " + quoted(word) +
                           " are two names, and one is enough, or one of them is no option of `ip tunnel`");
}

Done Parser::mode(std::string_view word) {
  if (const Refusal* refusal = find_refusal(kRefusedModes, word))
    return fault("mode", quoted(word) + ": " + std::string(refusal->reason));
  const auto* found = std::ranges::find(kModes, word, &ModeWord::word);
  if (found == std::end(kModes)) {
    return fault("mode", quoted(word) + " is no mode of `ip tunnel`; " + std::string(kModesText));
  }
  if (out_.kind && (*out_.kind != found->kind || ends_tell_ != found->either_family))
    return fault("mode", quoted(out_.mode) + " and " + quoted(word) + " are two modes; one is enough");
  out_.kind = found->kind;
  out_.mode = word;
  ends_tell_ = found->either_family;
  if (!ends_tell_ && said_ == Family::v6) {
    return fault("mode",
                 quoted(word) + " runs over IPv4; for GRE over IPv6 say `mode ip6gre`, else leave -6 away");
  }
  return {};
}

/// Without `mode` the beginning of the name decides, as with ip(8); only to make one is it needed.
Done Parser::mode_of_name() {
  if (out_.name.empty() && out_.verb != Verb::show) {
    return fault("name", std::string("is missing; say which interface is meant: `tunnel ")
                             .append(out_.verb == Verb::add      ? "add NAME ..."
                                     : out_.verb == Verb::change ? "change NAME ..."
                                                                 : "del NAME")
                             .append("`"));
  }
  if (out_.kind || out_.verb != Verb::add) return {};
  if (said_ == Family::v6)
    return fault("mode",
                 "is missing; with -6 `ip tunnel` would make ip6ip6, which is not served; say `mode ip6gre`");
  const std::string_view name = out_.name;
  if (name.starts_with("gre")) {
    out_.kind = encap::Kind::gre;
  } else if (name.starts_with("ipip")) {
    out_.kind = encap::Kind::ipip;
  } else if (name.starts_with("sit")) {
    out_.kind = encap::Kind::sit;
  } else {
    return fault("mode", "is missing, and the name does not begin with gre, sit or ipip; say `mode` " +
                             std::string(kModesText));
  }
  return {};
}

/// The outer family, which says how values are read. Ends of ip6gre tell it: that is the guide's rule.
Done Parser::family() {
  out_.family = said_;
  if (out_.kind && !ends_tell_) out_.family = Family::v4;
  if (!ends_tell_) return {};
  out_.family = Family::none;
  std::string_view first;
  for (const Given& given : given_) {
    if (given.option->option != Option::local && given.option->option != Option::remote) continue;
    const Family family = family_of_end(given.values[0]);
    if (family == Family::none) continue;
    if (out_.family != Family::none && family != out_.family) {
      return fault("mode", quoted(out_.mode) + " has ends of two families, " + quoted(first) + " and " +
                               quoted(given.values[0]) +
                               "; two IPv4 addresses make GRE over IPv4, two IPv6 addresses GRE over IPv6");
    }
    out_.family = family;
    first = given.values[0];
  }
  if (out_.family == Family::none && out_.verb == Verb::add) {
    return fault("remote",
                 "is missing; the ends of " + out_.mode +
                     " tell whether it is GRE over IPv4 or over IPv6: give the address of the other end");
  }
  if (out_.family == Family::none) out_.family = said_;
  return {};
}

Done Parser::value(const Given& given) {
  const std::string_view option = given.option->word;
  const Family only = given.option->only;
  if (only != Family::none && out_.family != Family::none && only != out_.family) {
    return fault(option, std::string("is of tunnels over ") + (only == Family::v6 ? "IPv6" : "IPv4") +
                             " alone; leave it away (an interface of that name: `name " +
                             std::string(option) + "`)");
  }
  if (given.values.empty()) return flag(given.option->option);
  const std::string& word = given.values[0];
  switch (given.option->option) {
    case Option::local:
      return take(option, parse_tunnel_end(word, out_.family), out_.local);
    case Option::remote:
      return take(option, parse_tunnel_end(word, out_.family), out_.remote);
    case Option::dev:
      return take(option, parse_tunnel_name(word), out_.underlay);
    case Option::ttl:
      return take(option, parse_tunnel_ttl(word, out_.family), out_.ttl);
    case Option::tos:
      return take(option, parse_tunnel_tos(word, out_.family, names_), out_.tos);
    case Option::key: {
      Done done = take(option, parse_tunnel_key(word), out_.in_key);
      if (done) out_.out_key = out_.in_key;
      return done;
    }
    case Option::ikey:
      return take(option, parse_tunnel_key(word), out_.in_key);
    case Option::okey:
      return take(option, parse_tunnel_key(word), out_.out_key);
    default:
      return given.option->only == Family::v6 ? over_ipv6(given) : ours(given);
  }
}

Done Parser::flag(Option option) {
  const auto is = [&](Option both, Option one) { return option == both || option == one; };
  if (is(Option::pmtudisc, Option::nopmtudisc)) out_.path_mtu_discovery = option == Option::pmtudisc;
  if (is(Option::ignore_df, Option::noignore_df)) out_.ignore_df = option == Option::ignore_df;
  if (is(Option::localremote, Option::nolocalremote)) out_.allow_local_remote = option == Option::localremote;
  if (option == Option::nokeepalive) out_.keepalive = encap::Keepalive{};
  if (is(Option::seq, Option::iseq)) out_.in_sequence = true;
  if (is(Option::seq, Option::oseq)) out_.out_sequence = true;
  if (is(Option::csum, Option::icsum)) out_.in_checksum = true;
  if (is(Option::csum, Option::ocsum)) out_.out_checksum = true;
  return {};
}

Done Parser::over_ipv6(const Given& given) {
  const std::string_view option = given.option->word;
  const std::string& word = given.values[0];
  if (given.option->option == Option::dscp) {
    if (word != "inherit")
      return fault(option, quoted(word) + " is not known; inherit is all that can follow");
    out_.dscp_inherit = true;
    return {};
  }
  if (given.option->option == Option::flowlabel) {
    const auto number = parse_c_number(word, 16, kMaxFlowLabel);
    if (!number && word != "inherit")
      return fault(option, quoted(word) + " is no flow label; hexadecimal 0x0 to 0xfffff, or inherit");
    out_.flow_label = TunnelFlowLabel{.value = number.value_or(0), .inherit = !number};
    return {};
  }
  const auto limit = parse_c_number(word, 0, 255);
  if (!limit && word != "none") return fault(option, quoted(word) + " is out of range; 0 to 255, or none");
  out_.encapsulation_limit.emplace();
  if (limit) out_.encapsulation_limit->limit = static_cast<uint8_t>(*limit);
  return {};
}

/// What ip(8) does not know.
Done Parser::ours(const Given& given) {
  const std::string_view option = given.option->word;
  if (given.option->option == Option::linklocal) {
    constexpr std::pair<std::string_view, LinkLocal> kChoices[] = {{"kernel", LinkLocal::as_kernel},
                                                                   {"isatap", LinkLocal::isatap},
                                                                   {"plain", LinkLocal::plain},
                                                                   {"none", LinkLocal::none}};
    const std::string& word = given.values[0];
    const auto* found =
        std::ranges::find_if(kChoices, [&](const auto& choice) { return choice.first == word; });
    if (found == std::end(kChoices))
      return fault(option, quoted(word) + " is not known; kernel, isatap, plain or none");
    out_.link_local = found->second;
    return {};
  }
  const auto interval = parse_c_number(given.values[0], 0, kMaxKeepaliveInterval);
  const auto retries = parse_c_number(given.values[1], 0, kMaxKeepaliveRetries);
  if (!interval || *interval == 0)
    return fault(option, quoted(given.values[0]) + " is no interval; 1 to 32767 seconds, then the retries");
  if (!retries || *retries == 0)
    return fault(option, quoted(given.values[1]) + " is no number of retries; 1 to 255");
  out_.keepalive = encap::Keepalive{*interval, *retries};
  return {};
}

/// What can be said of the command as a whole.
Done Parser::whole() {
  const bool makes = out_.verb == Verb::add || out_.verb == Verb::change;
  if (!makes && (out_.in_key || out_.out_key) && out_.kind != encap::Kind::gre)
    return fault("key", "is GRE's alone; say `mode gre`, or leave it away");
  if (out_.verb != Verb::add) return {};
  if (auto tunnel = apply(out_, {}); !tunnel) return std::unexpected(std::move(tunnel.error()));
  return {};
}

}  // namespace

std::expected<TunnelCommand, std::string> parse_ip_tunnel(std::span<const std::string> words,
                                                          const DsfieldNames& names) {
  return Parser(words, names).command();
}

}  // namespace hats::config
