// What the readers of netplan's tunnels share: walking a mapping by a table of its keys, and scalars as
// values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/address.hpp"
#include "core/config/faults.hpp"
#include "core/config/netplan.hpp"
#include "core/config/netplan_tree.hpp"

namespace hats::config::netplan {

using Done = ConfigResult<void>;

/// Values that one reading looks at. Aliases can name the same long list many times over; this bounds the
/// work.
inline constexpr size_t kMaxVisits = 2'000'000;
inline constexpr size_t kMaxWarnings = 50;  // of one tunnel; the rest are counted in one more

/// A value under the key that it stands under.
struct Entry {
  std::string_view key;
  Value value;
  int line = 1;  // of the key
};

[[nodiscard]] std::unexpected<ConfigError> fail(const Value& at, std::string_view key, std::string message);
[[nodiscard]] std::unexpected<ConfigError> fail(const Entry& at, std::string message);

/// The warnings and the work of one reading, and the key files that it may look into.
class Context {
 public:
  explicit Context(std::span<const SourceText> key_files = {}) : key_files_(key_files) {}

  /// The key file `path`, which `entry` names, or nullptr: then it is noted as missing.
  [[nodiscard]] const SourceText* key_file(const Entry& entry, std::string_view path);
  [[nodiscard]] const std::vector<NetplanKeyFile>& missing_key_files() const { return missing_; }

  void warn(const Value& at, std::string_view key, std::string message);
  void warn(const Entry& at, std::string message) { warn(at.value, at.key, std::move(message)); }
  /// The warnings so far, with the count of those left out.
  [[nodiscard]] std::vector<ConfigError> take_warnings();
  /// Faults of entries and items, after which the next ones were read all the same.
  [[nodiscard]] Faults& faults() { return faults_; }
  /// Counts one more value.
  [[nodiscard]] Done visit(const Value& at);

 private:
  std::vector<ConfigError> warnings_;
  Faults faults_;
  std::span<const SourceText> key_files_;
  std::vector<NetplanKeyFile> missing_;  // each once
  size_t left_out_ = 0;
  size_t visits_ = 0;
};

/// One key of a mapping that is read into a T.
template <typename T>
struct MapKey {
  std::string_view name;
  Done (*read)(Context&, const Entry&, T&);
};

/// `value` as a mapping, or the fault: the guide's placeholders are mappings to YAML, and are named as what
/// they are.
[[nodiscard]] Done expect_mapping(const Value& value, std::string_view key);
[[nodiscard]] Done expect_sequence(const Entry& entry);
/// The message for a mapping that is a placeholder in braces, "{ yourside ip }"; nullopt if it is none.
[[nodiscard]] std::optional<std::string> braces_message(const Value& value);
[[nodiscard]] std::unexpected<ConfigError> unknown_key(const Value& key, std::string_view where,
                                                       std::span<const std::string_view> names);

/// Calls read(Entry) for each entry of a mapping, in order; the context keeps the faults of the entries.
/// `key` is the mapping's own.
template <typename Read>
[[nodiscard]] Done each_entry(Context& context, const Value& mapping, std::string_view key,
                              const Read& read) {
  if (auto done = expect_mapping(mapping, key); !done) return done;
  for (size_t i = 0; i + 1 < mapping.size(); i += 2) {
    const Value name = mapping.at(i);
    if (auto done = context.visit(name); !done) return done;
    if (!name.is_scalar()) {
      context.faults().add(
          fail(name, key,
               braces_message(name).value_or("a key must be a plain word, not a list or a mapping"))
              .error());
      continue;
    }
    context.faults().passed(read(Entry{name.text(), mapping.at(i + 1), name.line()}, name));
  }
  return {};
}

/// Reads a mapping by a table. `where` names the mapping in messages ("a route").
template <typename T, size_t N>
[[nodiscard]] Done read_mapping(Context& context, const Value& mapping, std::string_view key,
                                std::string_view where, const std::array<MapKey<T>, N>& keys, T& into) {
  return each_entry(context, mapping, key, [&](const Entry& entry, const Value& name) -> Done {
    for (const MapKey<T>& known : keys) {
      if (known.name == entry.key) return known.read(context, entry, into);
    }
    std::array<std::string_view, N> names;
    for (size_t i = 0; i < N; ++i) names[i] = keys[i].name;
    return unknown_key(name, where, names);
  });
}

/// Calls read(Entry) for each item of a sequence, under the sequence's key; the context keeps their faults.
template <typename Read>
[[nodiscard]] Done each_item(Context& context, const Entry& sequence, const Read& read) {
  if (auto done = expect_sequence(sequence); !done) return done;
  for (size_t i = 0; i < sequence.value.size(); ++i) {
    const Value item = sequence.value.at(i);
    if (auto done = context.visit(item); !done) return done;
    context.faults().passed(read(Entry{sequence.key, item, item.line()}));
  }
  return {};
}

/// The text of a scalar. Placeholders are named, but what a `secret` holds is not repeated.
[[nodiscard]] ConfigResult<std::string_view> read_text(const Entry& entry, bool secret = false);
/// true, on, yes, y, false, off, no, n, in any case, quoted or not.
[[nodiscard]] ConfigResult<bool> read_bool(const Entry& entry);
/// Decimal, at most `max`. An empty value is 0, with a warning, as netplan takes it.
[[nodiscard]] ConfigResult<uint32_t> read_number(Context& context, const Entry& entry,
                                                 uint32_t max = 0xffff'ffff);
/// An address without a prefix length.
[[nodiscard]] ConfigResult<IpAddress> read_address(const Entry& entry);
/// "a/len", with the length; of an interface's address it is not 0.
[[nodiscard]] ConfigResult<Prefix> read_prefix(const Entry& entry, std::string_view text, bool zero_length);
/// One of `words`, which begin with the one of index 0.
[[nodiscard]] ConfigResult<size_t> read_word(const Entry& entry, std::span<const std::string_view> words);

}  // namespace hats::config::netplan
