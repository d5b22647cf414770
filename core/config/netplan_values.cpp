#include "core/config/netplan_values.hpp"

#include <algorithm>

#include "core/config/text.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config::netplan {
namespace {

constexpr size_t kLongestKey = 40;  // characters of a key that a message repeats

std::string shown_key(std::string_view key) {
  return key.size() > kLongestKey ? std::string() : printable_key(key);
}

}  // namespace

std::unexpected<ConfigError> fail(const Value& at, std::string_view key, std::string message) {
  return std::unexpected(ConfigError{at.line(), shown_key(key), std::move(message), at.file()});
}

std::unexpected<ConfigError> fail(const Entry& at, std::string message) {
  return fail(at.value, at.key, std::move(message));
}

void Context::warn(const Value& at, std::string_view key, std::string message) {
  if (warnings_.size() >= kMaxWarnings) {
    ++left_out_;
    return;
  }
  warnings_.push_back({at.line(), shown_key(key), std::move(message), at.file()});
}

const SourceText* Context::key_file(const Entry& entry, std::string_view path) {
  for (const SourceText& file : key_files_) {
    if (file.path == path) return &file;
  }
  const auto noted = [&](const NetplanKeyFile& file) { return file.path == path; };
  if (std::ranges::none_of(missing_, noted)) {
    missing_.push_back({std::string(path), fail(entry, "").error()});
  }
  return nullptr;
}

std::vector<ConfigError> Context::take_warnings() {
  if (left_out_ > 0) {
    ConfigError more = warnings_.back();
    more.key.clear();
    more.message = "and " + std::to_string(left_out_) + " more warnings";
    warnings_.push_back(std::move(more));
  }
  return std::move(warnings_);
}

Done Context::visit(const Value& at) {
  if (++visits_ <= kMaxVisits) return {};
  return fail(at, "", "aliases make more than " + std::to_string(kMaxVisits) + " values of these files");
}

std::optional<std::string> braces_message(const Value& value) {
  if (!value.is_mapping() || value.size() < 2) return std::nullopt;
  const Value key = value.at(0);
  if (!key.is_scalar() || !value.at(1).is_scalar() || !value.at(1).text().empty()) return std::nullopt;
  return placeholder_message('{' + std::string(key.text()) + '}', false);
}

Done expect_mapping(const Value& value, std::string_view key) {
  if (value.is_mapping()) return {};
  if (value.is_scalar() && !value.text().empty()) {
    if (const auto message = placeholder_message(value.text(), false)) return fail(value, key, *message);
  }
  return fail(value, key, "a mapping of keys and values is expected here; look at the indentation");
}

Done expect_sequence(const Entry& entry) {
  if (entry.value.is_sequence()) return {};
  if (const auto message = braces_message(entry.value)) return fail(entry, *message);
  return fail(entry, "a list is expected here; write [A, B], or each on a line of its own after '- '");
}

std::unexpected<ConfigError> unknown_key(const Value& key, std::string_view where,
                                         std::span<const std::string_view> names) {
  const std::string_view text = key.text();
  const std::string placeholder = placeholder_message('{' + std::string(text) + '}', false).value_or("");
  if (placeholder.starts_with("the placeholder")) return fail(key, "", placeholder);
  if (text == "<<") return fail(key, "", "netplan knows no merge keys (<<); write the keys out");
  std::string message = quoted(text) + " is not a key of " + std::string(where);
  const std::string_view close = nearest(text, names);
  if (!close.empty()) return fail(key, "", message + "; did you mean " + std::string(close) + "?");
  message += "; the keys are";
  for (const std::string_view name : names) message += ' ' + std::string(name);
  return fail(key, "", message);
}

ConfigResult<std::string_view> read_text(const Entry& entry, bool secret) {
  if (!entry.value.is_scalar()) {
    return fail(entry,
                braces_message(entry.value).value_or("one value is expected here, not a list or a mapping"));
  }
  const std::string_view text = entry.value.text();
  if (const auto message = placeholder_message(text, secret)) return fail(entry, *message);
  return text;
}

ConfigResult<bool> read_bool(const Entry& entry) {
  const auto text = read_text(entry);
  if (!text) return std::unexpected(text.error());
  for (const std::string_view word : {"true", "on", "yes", "y"}) {
    if (equals_ignoring_case(*text, word)) return true;
  }
  for (const std::string_view word : {"false", "off", "no", "n"}) {
    if (equals_ignoring_case(*text, word)) return false;
  }
  return fail(entry, quoted(*text) + " is neither true nor false");
}

ConfigResult<uint32_t> read_number(Context& context, const Entry& entry, uint32_t max) {
  const auto text = read_text(entry);
  if (!text) return std::unexpected(text.error());
  if (text->empty()) {
    context.warn(entry, "the value is empty, and counts as none");
    return 0;
  }
  const auto number = parse_decimal(*text, max);
  if (number) return static_cast<uint32_t>(*number);
  return fail(entry, quoted(*text) + " is not a number from 0 to " + std::to_string(max) + ", in decimal");
}

ConfigResult<IpAddress> read_address(const Entry& entry) {
  const auto text = read_text(entry);
  if (!text) return std::unexpected(text.error());
  if (const auto address = IpAddress::parse(*text)) return *address;
  if (text->find('/') != std::string_view::npos && Prefix::parse(*text)) {
    return fail(entry, quoted(*text) + " has a prefix length; write the address alone");
  }
  return fail(entry, quoted(*text) + " is not an address; write it like 192.0.2.1 or 2001:db8::1");
}

ConfigResult<Prefix> read_prefix(const Entry& entry, std::string_view text, bool zero_length) {
  if (text.find('/') == std::string_view::npos && IpAddress::parse(text)) {
    return fail(entry, quoted(text) + " has no prefix length; write it like 10.0.0.1/24 or fd00::1/64");
  }
  const auto prefix = parse_interface_address(text);
  if (!prefix) return fail(entry, prefix.error());
  if (text.substr(text.find('/')).find('.') != std::string_view::npos) {
    return fail(entry, quoted(text) + " has a dotted mask; write " + prefix->text());
  }
  if (prefix->length == 0 && !zero_length) {
    return fail(entry, quoted(text) + " has the prefix length 0, which no address of an interface has");
  }
  return *prefix;
}

ConfigResult<size_t> read_word(const Entry& entry, std::span<const std::string_view> words) {
  const auto text = read_text(entry);
  if (!text) return std::unexpected(text.error());
  std::string choices;
  for (size_t i = 0; i < words.size(); ++i) {
    if (*text == words[i]) return i;
    choices += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + std::string(words[i]);
  }
  return fail(entry, quoted(*text) + " is not known here; write " + choices);
}

}  // namespace hats::config::netplan
