// The parser of wg-quick's file. Stock, two programs read it: wg-quick takes its own keys out of [Interface]
// (it trims a key and its value), and wg(8) takes the rest (it first removes every blank of a line). Both
// rules are kept here.
#include "core/config/wg_quick.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "core/config/faults.hpp"
#include "core/config/mtu_advice.hpp"
#include "core/config/text.hpp"
#include "core/config/wg_quick_values.hpp"
#include "crypto/x25519.hpp"

namespace hats::config {
namespace {

constexpr size_t kMaxWarnings = 50;  // of one file; the rest are counted in one more

/// `unknown`: what stands in it cannot be judged; the fault of its header, or of its lack, has been told.
enum class Section : uint8_t { none, interface, peer, unknown };

/// A line with its comment gone: `key` as written, `value` without the blanks around it.
struct Line {
  int number = 0;
  std::string_view key;
  std::string_view value;
};

using KeyNames = std::span<const std::string_view>;
constexpr auto kInterfaceKeys =
    std::to_array<std::string_view>({"PrivateKey", "ListenPort", "FwMark", "Address", "MTU", "DNS", "Table",
                                     "PreUp", "PostUp", "PreDown", "PostDown", "SaveConfig"});
constexpr auto kWgInterfaceKeys = std::to_array<std::string_view>({"PrivateKey", "ListenPort", "FwMark"});
constexpr auto kPeerKeys = std::to_array<std::string_view>(
    {"PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive"});

bool is_hook(std::string_view key) {
  return equals_ignoring_case(key, "PreUp") || equals_ignoring_case(key, "PostUp") ||
         equals_ignoring_case(key, "PreDown") || equals_ignoring_case(key, "PostDown");
}

/// The name as we write it, or "" if `key` is none of them.
std::string_view one_of(std::string_view key, KeyNames keys) {
  for (const std::string_view name : keys) {
    if (equals_ignoring_case(key, name)) return name;
  }
  return {};
}

bool is_one_of(std::string_view key, KeyNames keys) {
  return !one_of(key, keys).empty();
}

bool is_secret(std::string_view key) {
  return equals_ignoring_case(key, "PrivateKey") || equals_ignoring_case(key, "PresharedKey");
}

/// Whether prefixes of the value have blanks alone between them.
bool lacks_commas(std::string_view value) {
  return std::ranges::any_of(split(value, ','), [](std::string_view entry) {
    entry = trim(entry);
    const size_t end = entry.find_first_of(" \t");
    return end != std::string_view::npos && Prefix::parse(entry.substr(0, end)) &&
           Prefix::parse(entry.substr(entry.find_last_of(" \t") + 1));
  });
}

class Parser {
 public:
  ConfigResult<InterfaceConfig> parse(std::string_view text);

 private:
  using Done = ConfigResult<void>;

  Done read_line(std::string_view raw, int number);
  Done read_section(std::string_view header, int number);
  Done read_interface_key(const Line& line);
  Done read_own_key(const Line& line);
  void read_dns(const Line& line);
  Done read_addresses(const Line& line);
  Done read_wg_interface_key(const Line& line, std::string_view key, std::string_view value);
  Done read_hook(const Line& line);
  Done read_peer_key(const Line& line);
  Done read_allowed_ips(const Line& line, std::string_view value);
  Done read_table(const Line& line);
  Done read_save_config(const Line& line);
  Done unknown_key(const Line& line) const;
  Done finish();
  void warn_of_lacks();
  void warn_of_peers();

  static std::unexpected<ConfigError> fail(const Line& line, std::string message) {
    return std::unexpected(ConfigError{line.number, printable_key(line.key), std::move(message)});
  }
  void warn(int line, std::string key, std::string message);
  void note_repetition(const Line& line, std::string_view key);
  /// Puts a parsed value in its place, or fails with its message.
  template <typename To, typename Value>
  static Done put(const Line& line, To& to, ValueResult<Value> value) {
    if (!value) return fail(line, value.error());
    to = std::move(*value);
    return {};
  }

  InterfaceConfig config_;
  Section section_ = Section::none;
  bool header_has_blanks_ = false;
  std::vector<bool> has_key_;                   // one a peer
  std::vector<size_t> without_length_;          // addresses, by index
  std::map<std::string_view, int> scalars_[2];  // lines of the single-valued keys: [Interface], this [Peer]
  size_t warnings_left_out_ = 0;
};

void Parser::warn(int line, std::string key, std::string message) {
  if (config_.warnings.size() >= kMaxWarnings) {
    ++warnings_left_out_;
    return;
  }
  config_.warnings.push_back({line, std::move(key), std::move(message)});
}

/// `key` is one of the names in this file, which live as long as the program.
void Parser::note_repetition(const Line& line, std::string_view key) {
  const auto [before, fresh] = scalars_[section_ == Section::peer].try_emplace(key, line.number);
  if (fresh) return;
  warn(line.number, std::string(key),
       "is in line " + std::to_string(before->second) + " already; this one, the last, counts");
  before->second = line.number;
}

ConfigResult<InterfaceConfig> Parser::parse(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) {
    return std::unexpected(
        ConfigError{1, "", "the file begins with a byte order mark; save it as UTF-8 without one"});
  }
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    return std::unexpected(ConfigError{1, "", "the file is UTF-16; save it as UTF-8"});
  }
  Faults faults;
  int number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view raw = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    faults.passed(read_line(raw, ++number));
  }
  if (!faults.any()) faults.passed(finish());
  if (auto done = faults.result(); !done) return std::unexpected(done.error());
  if (warnings_left_out_ > 0) {
    config_.warnings.push_back({1, "", "and " + std::to_string(warnings_left_out_) + " more warnings"});
  }
  return std::move(config_);
}

Parser::Done Parser::read_line(std::string_view raw, int number) {
  if (raw.find('\0') != std::string_view::npos) {
    return std::unexpected(ConfigError{number, "", "the line holds a zero byte; this is not a text file"});
  }
  const size_t comment = raw.find('#');
  const std::string_view plain = trim(raw.substr(0, comment));
  if (plain.empty()) return {};
  if (plain.front() == '[') return read_section(plain, number);
  Line line{number, {}, {}};
  const size_t equals = plain.find('=');
  if (equals == std::string_view::npos) {
    const std::string hint = plain.front() == ';' ? "; a comment begins with '#', not with ';'"
                                                  : "; write KEY = VALUE, [Interface] or [Peer]";
    return fail(line, "the line is neither a section nor a key" + hint);
  }
  line.key = trim(plain.substr(0, equals));
  line.value = trim(plain.substr(equals + 1));
  // Commands keep their '#' (wg-quick since 2025-05).
  if (is_hook(line.key)) line.value = trim(raw.substr(raw.find('=') + 1));
  switch (section_) {
    case Section::none:
      section_ = Section::unknown;
      return fail(line, "a key before any section; begin the file with [Interface]");
    case Section::unknown:
      return {};
    case Section::interface:
      return read_interface_key(line);
    case Section::peer:
      return read_peer_key(line);
  }
  return {};
}

Parser::Done Parser::read_section(std::string_view header, int number) {
  const std::string name = without_blanks(header);
  if (equals_ignoring_case(name, "[Interface]")) {
    section_ = Section::interface;
    header_has_blanks_ = name != header;
  } else if (equals_ignoring_case(name, "[Peer]")) {
    section_ = Section::peer;
    scalars_[1].clear();
    config_.peers.emplace_back().line = number;
    has_key_.push_back(false);
  } else {
    section_ = Section::unknown;
    return std::unexpected(
        ConfigError{number, "", "unknown section " + quoted(name) + "; there are [Interface] and [Peer]"});
  }
  return {};
}

Parser::Done Parser::unknown_key(const Line& line) const {
  const bool in_interface = section_ == Section::interface;
  const std::string squeezed = without_blanks(line.key);
  if (is_one_of(squeezed, in_interface ? KeyNames(kPeerKeys) : KeyNames(kInterfaceKeys))) {
    return fail(line, std::string("this key belongs in ") + (in_interface ? "[Peer]" : "[Interface]"));
  }
  if (squeezed.starts_with(';')) return fail(line, "a comment begins with '#', not with ';'");
  std::string message = std::string("unknown key in ") + (in_interface ? "[Interface]" : "[Peer]");
  const std::string_view close =
      nearest(squeezed, in_interface ? KeyNames(kInterfaceKeys) : KeyNames(kPeerKeys));
  if (!close.empty()) return fail(line, message + "; did you mean " + std::string(close) + "?");
  message += "; the keys are";
  for (const std::string_view key : in_interface ? KeyNames(kInterfaceKeys) : KeyNames(kPeerKeys))
    message += ' ' + std::string(key);
  return fail(line, message);
}

Parser::Done Parser::read_interface_key(const Line& line) {
  const std::string squeezed = without_blanks(line.key);
  const std::string_view key = one_of(squeezed, kInterfaceKeys);
  if (key.empty()) return unknown_key(line);
  if (is_one_of(key, kWgInterfaceKeys)) {
    if (const auto message = placeholder_message(line.value, is_secret(key))) return fail(line, *message);
    const SecretText value(line.value);
    if (value.view().empty()) return fail(line, "the value is empty; fill it in or remove the line");
    note_repetition(line, key);
    return read_wg_interface_key(line, key, value.view());
  }
  // wg-quick trims its keys, and leaves "Save Config" to wg(8), which refuses it.
  if (!equals_ignoring_case(line.key, key)) return unknown_key(line);
  if (header_has_blanks_) {
    return fail(line, "wg-quick does not see this section; write [Interface] without blanks inside");
  }
  return read_own_key(line);
}

/// A key of wg-quick's own. Unlike wg(8) it takes an empty value: as none.
Parser::Done Parser::read_own_key(const Line& line) {
  if (is_hook(line.key)) return read_hook(line);
  if (const auto message = placeholder_message(line.value, false)) return fail(line, *message);
  if (equals_ignoring_case(line.key, "SaveConfig")) return read_save_config(line);
  if (line.value.empty()) warn(line.number, std::string(line.key), "the value is empty, and counts as none");
  if (equals_ignoring_case(line.key, "Table")) return read_table(line);
  if (equals_ignoring_case(line.key, "Address")) return read_addresses(line);
  if (equals_ignoring_case(line.key, "DNS")) {
    read_dns(line);
    return {};
  }
  note_repetition(line, "MTU");
  if (line.value.empty()) {
    config_.mtu.reset();
    return {};
  }
  return put(line, config_.mtu, parse_mtu(line.value));
}

Parser::Done Parser::read_addresses(const Line& line) {
  for (const std::string_view word : words(line.value)) {
    const auto address = parse_interface_address(word);
    if (!address) return fail(line, address.error());
    if (word.find('/') != std::string_view::npos &&
        word.substr(word.find('/')).find('.') != std::string_view::npos) {
      warn(line.number, "Address", quoted(word) + " has a dotted mask; taken as " + address->text());
    }
    if (word.find('/') == std::string_view::npos) without_length_.push_back(config_.addresses.size());
    config_.addresses.push_back({*address, line.number});
  }
  return {};
}

/// wg-quick tells servers from search domains by their characters alone.
void Parser::read_dns(const Line& line) {
  for (const std::string_view word : words(line.value)) {
    const bool server = word.find(':') != std::string_view::npos ||
                        word.find_first_not_of("0123456789.") == std::string_view::npos;
    (server ? config_.dns_servers : config_.dns_search).emplace_back(word);
    if (server && !IpAddress::parse(word.substr(0, word.find('%')))) {
      warn(line.number, "DNS", quoted(word) + " is not an address; it is handed on as a server all the same");
    }
  }
}

Parser::Done Parser::read_wg_interface_key(const Line& line, std::string_view key, std::string_view value) {
  if (equals_ignoring_case(key, "PrivateKey")) {
    crypto::PrivateKey private_key;
    if (const auto done = parse_key(value, private_key.span()); !done) return fail(line, done.error());
    if (private_key.is_zero())
      warn(line.number, "PrivateKey", "is all zeros, which means that there is no key");
    config_.private_key = std::move(private_key);
    return {};
  }
  if (equals_ignoring_case(key, "ListenPort")) {
    const auto port = parse_port(value);
    if (!port) return fail(line, port.error());
    config_.listen_port = port->number;
    config_.listen_service = port->service;
    config_.listen_port_line = line.number;
    return {};
  }
  return put(line, config_.fwmark, parse_fwmark(value));
}

Parser::Done Parser::read_hook(const Line& line) {
  if (line.value.empty()) {
    warn(line.number, std::string(line.key), "the command is empty; nothing is run");
    return {};
  }
  std::vector<Hook>& hooks = equals_ignoring_case(line.key, "PreUp")     ? config_.pre_up
                             : equals_ignoring_case(line.key, "PostUp")  ? config_.post_up
                             : equals_ignoring_case(line.key, "PreDown") ? config_.pre_down
                                                                         : config_.post_down;
  hooks.push_back({std::string(line.value), line.number});
  return {};
}

Parser::Done Parser::read_table(const Line& line) {
  note_repetition(line, "Table");
  if (line.value.empty()) {
    config_.table = {};
    return {};
  }
  auto table = parse_table(line.value);
  if (!table) return fail(line, table.error());
  const bool word = table->kind != RouteTable::Kind::table;
  if (word && line.value != "auto" && line.value != "off") {
    warn(line.number, "Table",
         "stock wg-quick takes only lower-case 'auto' and 'off'; " + quoted(line.value) +
             " is taken as meant");
  }
  config_.table = std::move(*table);
  config_.table.line = line.number;
  return {};
}

Parser::Done Parser::read_save_config(const Line& line) {
  note_repetition(line, "SaveConfig");
  if (equals_ignoring_case(line.value, "true")) {
    config_.save_config = true;
  } else if (equals_ignoring_case(line.value, "false")) {
    config_.save_config = false;
  } else {
    return fail(line, quoted(line.value) + " is neither 'true' nor 'false'");
  }
  return {};
}

Parser::Done Parser::read_peer_key(const Line& line) {
  const std::string squeezed = without_blanks(line.key);
  const std::string_view key = one_of(squeezed, kPeerKeys);
  if (key.empty()) return unknown_key(line);
  if (const auto message = placeholder_message(line.value, is_secret(key))) return fail(line, *message);
  const SecretText secret(line.value);
  const std::string_view value = secret.view();
  if (value.empty()) return fail(line, "the value is empty; fill it in or remove the line");
  if (key != "AllowedIPs") note_repetition(line, key);
  WgPeer& peer = config_.peers.back();
  if (equals_ignoring_case(key, "PublicKey")) {
    if (const auto done = parse_key(value, peer.public_key.bytes); !done) return fail(line, done.error());
    has_key_.back() = true;
    peer.key_line = line.number;
    return {};
  }
  if (equals_ignoring_case(key, "PresharedKey")) {
    crypto::PresharedKey preshared_key;
    if (const auto done = parse_key(value, preshared_key.span()); !done) return fail(line, done.error());
    peer.preshared_key = std::move(preshared_key);
    return {};
  }
  if (equals_ignoring_case(key, "AllowedIPs")) return read_allowed_ips(line, value);
  if (equals_ignoring_case(key, "Endpoint")) {
    auto endpoint = parse_endpoint(value);
    if (!endpoint) return fail(line, endpoint.error());
    endpoint->line = line.number;
    peer.endpoint = std::move(*endpoint);
    return {};
  }
  return put(line, peer.persistent_keepalive_s, parse_keepalive(value));
}

Parser::Done Parser::read_allowed_ips(const Line& line, std::string_view value) {
  const auto entries = parse_allowed_ips(value);
  if (!entries) {
    return fail(line, lacks_commas(line.value) ? "separate the entries by commas" : entries.error());
  }
  WgPeer& peer = config_.peers.back();
  peer.replace_allowed_ips = !entries->incremental;
  for (const wg::AllowedIpChange& entry : entries->entries) {
    const Prefix masked = entry.prefix.masked();
    if (masked != entry.prefix) {
      warn(line.number, "AllowedIPs",
           entry.prefix.text() + " has bits behind its prefix; taken as " + masked.text());
    }
    peer.allowed_ips.push_back({masked, entry.remove});
    peer.allowed_ips_lines.push_back(line.number);
  }
  return {};
}

Parser::Done Parser::finish() {
  Faults faults;
  for (size_t i = 0; i < config_.peers.size(); ++i) {
    if (!has_key_[i]) {
      faults.add({config_.peers[i].line, "PublicKey", "this [Peer] has none; every peer needs one"});
    }
  }
  if (faults.any()) return faults.result();
  const auto is_v6 = [](const InterfaceAddress& a) { return a.prefix.address.family == Family::v6; };
  const auto v6 = std::find_if(config_.addresses.begin(), config_.addresses.end(), is_v6);
  if (config_.mtu && *config_.mtu < kLeastIpv6Mtu && v6 != config_.addresses.end()) {
    warn(v6->line, "Address",
         "an MTU of " + std::to_string(*config_.mtu) +
             " is too small for IPv6; the kernel keeps IPv6 addresses from 1280 on");
  }
  warn_of_lacks();
  warn_of_peers();
  return {};
}

/// What is allowed, and hardly meant.
void Parser::warn_of_lacks() {
  if (section_ == Section::none) {
    warn(1, "", "holds no section: an interface without key, address and peer; begin with [Interface]");
  }
  // A hook may well set the key (`wg set %i private-key FILE`), and give an address its peer.
  if (!config_.pre_up.empty() || !config_.post_up.empty()) return;
  if (!config_.private_key && !config_.peers.empty()) {
    warn(1, "PrivateKey",
         "is missing, and no hook sets one: without it there is no handshake; write PrivateKey = KEY "
         "(hatsd-user genkey makes one) under [Interface]");
  }
  // Elsewhere routes to AllowedIPs lead to the other end.
  if (config_.table.kind != RouteTable::Kind::off) return;
  for (const size_t index : without_length_) {
    const InterfaceAddress& address = config_.addresses[index];
    warn(address.line, "Address",
         quoted(address.prefix.address.text()) + " has no prefix length, and is taken as " +
             address.prefix.text() +
             "; with Table = off nothing leads to the other end then: write the length");
  }
}

void Parser::warn_of_peers() {
  std::map<crypto::PublicKey, int> keys;
  std::map<Prefix, crypto::PublicKey> owners;
  std::optional<crypto::PublicKey> own;
  if (config_.private_key) own = crypto::public_key_of(*config_.private_key);
  for (const WgPeer& peer : config_.peers) {
    if (own && peer.public_key == *own) {
      warn(peer.key_line, "PublicKey",
           "this is the interface's own key; the peer is skipped, as the kernel does");
    }
    const auto [seen, fresh] = keys.emplace(peer.public_key, peer.key_line);
    if (!fresh) {
      warn(peer.key_line, "PublicKey",
           "the same key stands in line " + std::to_string(seen->second) +
               "; the later [Peer] replaces the AllowedIPs of the earlier one");
    }
    for (size_t i = 0; i < peer.allowed_ips.size(); ++i) {
      const wg::AllowedIpChange& entry = peer.allowed_ips[i];
      if (entry.remove) continue;
      const auto [owner, first] = owners.emplace(entry.prefix, peer.public_key);
      if (!first && owner->second != peer.public_key) {
        warn(peer.line_of_allowed_ip(i), "AllowedIPs",
             entry.prefix.text() + " is given to two peers; the later one has it");
        owner->second = peer.public_key;
      }
    }
  }
  // A default route is told from the outer packets by their mark; a route in the main table is not.
  if (config_.table.kind != RouteTable::Kind::automatic) return;
  for (const WgPeer& peer : config_.peers) {
    const auto endpoint = peer.endpoint ? peer.endpoint->numeric() : std::nullopt;
    if (!endpoint) continue;
    for (unsigned length = endpoint->address.bit_count(); length > 0; --length) {
      const Prefix prefix = Prefix{endpoint->address, static_cast<uint8_t>(length)}.masked();
      if (!owners.contains(prefix)) continue;
      warn(peer.endpoint->line, "Endpoint",
           "lies in AllowedIPs " + prefix.text() +
               ", whose route leads the tunnel's own packets into the tunnel: take it out there, or set "
               "Table = off");
      break;
    }
  }
}

}  // namespace

ConfigResult<InterfaceConfig> parse_wg_quick(std::string_view text) {
  return Parser().parse(text);
}

}  // namespace hats::config
