// What an interface owes the host: every change that outlives its link (rules, firewall, DNS, a sysctl,
// PostDown) is written to /run/hatsd-user/NAME-<netns inode>.undo before it is made (DESIGN.md 5), so that
// `down` or the next `up` can finish the work of a process that died. JSON, replaced atomically, in a folder
// of mode 0700.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tun/link.hpp"

namespace hats::app {

struct UndoRule {
  tun::Rule rule;
};
struct UndoFirewall {
  Family family = Family::v4;
  std::string tool;  // "nft" or "iptables"
};
struct UndoDns {
  std::string name;  // resolvconf's name for the interface
};
struct UndoSysctl {
  std::string path;       // below /proc/sys
  std::string old_value;  // to write back
};
struct UndoHook {
  std::string command;  // PostDown, %i replaced
  int line = 0;
};
using UndoItem = std::variant<UndoRule, UndoFirewall, UndoDns, UndoSysctl, UndoHook>;

/// The record of one interface in one network namespace.
class UndoRecord {
 public:
  /// A new, empty record of the calling process, in its network namespace. Nothing is written before the
  /// first add().
  UndoRecord(std::string directory, std::string interface, std::string file);

  /// The record that another process left for `interface` in the caller's namespace; nullopt if there is
  /// none.
  static std::expected<std::optional<UndoRecord>, std::string> load(const std::string& directory,
                                                                    const std::string& interface);

  /// The interfaces of the caller's namespace whose process is gone, and whose records are still to be
  /// undone.
  static std::vector<std::string> left_behind(const std::string& directory);

  /// Writes the record with `item` added; only after that may the change be made.
  [[nodiscard]] std::expected<void, std::string> add(UndoItem item);
  /// The inode numbers of other network namespaces where an `interface` is left behind.
  static std::vector<uint64_t> elsewhere(const std::string& directory, const std::string& interface);
  /// Drops the last item, which has been undone (or was never made), and writes the rest.
  void drop_last();
  /// Replaces all hooks (after `reload` of a file with other PostDown lines).
  [[nodiscard]] std::expected<void, std::string> replace_hooks(std::vector<UndoHook> hooks);
  /// Drops item `index`, which has been undone.
  void drop(size_t index);
  /// Removes the file. Idempotent.
  void remove();

  [[nodiscard]] const std::vector<UndoItem>& items() const { return items_; }
  [[nodiscard]] const std::string& interface() const { return interface_; }
  [[nodiscard]] const std::string& config_file() const { return file_; }
  [[nodiscard]] std::string path() const;
  /// The process that wrote it is still there, and so still answers for it.
  [[nodiscard]] bool owner_alive() const;
  /// It was written in the caller's namespace, and not in a dead one whose inode number came round again.
  [[nodiscard]] bool same_namespace() const;
  /// True if another interface's record in this namespace promises to restore the sysctl at `path`; its old
  /// value.
  [[nodiscard]] std::optional<std::string> others_old_value(const std::string& sysctl_path) const;

 private:
  static std::vector<UndoRecord> of_this_namespace(const std::string& directory);
  [[nodiscard]] std::expected<void, std::string> write() const;
  /// 0, an errno, or -1: the folder is not ours alone.
  [[nodiscard]] int write_file() const;
  [[nodiscard]] std::string to_json() const;
  [[nodiscard]] bool from_json(const std::string& text);

  std::string directory_, interface_, file_;
  uint64_t netns_inode_ = 0;
  uint64_t netns_cookie_ = 0;  // 0 where the kernel has none (before 5.14)
  pid_t owner_pid_ = 0;
  uint64_t owner_start_ = 0;  // start time of that process, clock ticks since boot
  std::vector<UndoItem> items_;
  bool written_ = false;
};

}  // namespace hats::app
