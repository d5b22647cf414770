#include "tools/hatsd-user/quick/undo_record.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "tools/hatsd-user/quick/atomic_file.hpp"
#include "tools/hatsd-user/quick/run_directory.hpp"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace hats::app {
namespace {

using nlohmann::json;

constexpr int kRecordVersion = 1;
constexpr std::string_view kSuffix = ".undo";
/// Beside errnos: others may write to the folder.
constexpr int kNotOursAlone = -1;
/// Field of /proc/PID/stat, counted after the command's closing parenthesis: start time (proc(5), field 22).
constexpr int kStartTimeField = 20;

uint64_t namespace_inode() {
  struct stat status{};
  return stat("/proc/self/ns/net", &status) == 0 ? status.st_ino : 0;
}

uint64_t namespace_cookie() {
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) cookie = 0;
  close(fd);
  return cookie;
}

/// When process `pid` started, in clock ticks since boot; 0 if there is none, or it is a zombie.
uint64_t start_time(pid_t pid) {
  const auto text = read_whole_file("/proc/" + std::to_string(pid) + "/stat");
  if (!text) return 0;
  size_t at = text->rfind(')');
  if (at == std::string::npos || text->substr(at, 3) == ") Z") return 0;
  for (int field = 0; field < kStartTimeField && at != std::string::npos; ++field)
    at = text->find(' ', at + 1);
  if (at == std::string::npos) return 0;
  uint64_t ticks = 0;
  std::from_chars(text->data() + at + 1, text->data() + text->size(), ticks);
  return ticks;
}

template <typename T>
void put(json& out, const char* key, const std::optional<T>& value) {
  if (value) out[key] = *value;
}

template <typename T>
std::optional<T> take(const json& in, const char* key) {
  if (!in.contains(key)) return std::nullopt;
  return in.at(key).get<T>();
}

json item_to_json(const UndoItem& item) {
  if (const auto* rule = std::get_if<UndoRule>(&item)) {
    json out{{"kind", "rule"},
             {"family", static_cast<int>(rule->rule.family)},
             {"not", rule->rule.invert},
             {"table", rule->rule.table}};
    put(out, "fwmark", rule->rule.fwmark);
    put(out, "suppress_prefixlength", rule->rule.suppress_prefix_length);
    put(out, "priority", rule->rule.priority);
    return out;
  }
  if (const auto* firewall = std::get_if<UndoFirewall>(&item)) {
    return {{"kind", "firewall"}, {"family", static_cast<int>(firewall->family)}, {"tool", firewall->tool}};
  }
  if (const auto* dns = std::get_if<UndoDns>(&item)) return {{"kind", "dns"}, {"name", dns->name}};
  if (const auto* sysctl = std::get_if<UndoSysctl>(&item)) {
    return {{"kind", "sysctl"}, {"path", sysctl->path}, {"old_value", sysctl->old_value}};
  }
  const auto& hook = std::get<UndoHook>(item);
  // A hook is any bytes; JSON is UTF-8. Bytes survive as numbers.
  return {{"kind", "hook"},
          {"line", hook.line},
          {"command", std::vector<uint8_t>(hook.command.begin(), hook.command.end())}};
}

Family family_of(const json& in) {
  return in.at("family").get<int>() == static_cast<int>(Family::v6) ? Family::v6 : Family::v4;
}

/// Throws what nlohmann throws if the text is not ours; from_json catches it.
UndoItem item_from_json(const json& in) {
  const auto kind = in.at("kind").get<std::string>();
  if (kind == "rule") {
    return UndoRule{{.family = family_of(in),
                     .invert = in.at("not").get<bool>(),
                     .fwmark = take<uint32_t>(in, "fwmark"),
                     .table = in.at("table").get<uint32_t>(),
                     .suppress_prefix_length = take<uint32_t>(in, "suppress_prefixlength"),
                     .priority = take<uint32_t>(in, "priority")}};
  }
  if (kind == "firewall") return UndoFirewall{family_of(in), in.at("tool").get<std::string>()};
  if (kind == "dns") return UndoDns{in.at("name").get<std::string>()};
  if (kind == "sysctl") {
    return UndoSysctl{in.at("path").get<std::string>(), in.at("old_value").get<std::string>()};
  }
  const auto bytes = in.at("command").get<std::vector<uint8_t>>();
  return UndoHook{std::string(bytes.begin(), bytes.end()), in.at("line").get<int>()};
}

std::string record_path(const std::string& directory, const std::string& interface, uint64_t inode) {
  return directory + "/" + interface + "-" + std::to_string(inode) + std::string(kSuffix);
}

struct RecordName {
  std::string interface;
  uint64_t inode = 0;  // of its network namespace
};

/// The records of all network namespaces that share the folder, by what record_path() calls them.
std::vector<RecordName> record_names(const std::string& directory) {
  std::vector<RecordName> out;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string file = entry->path().filename().string();
    const size_t dash = file.rfind('-');
    if (dash == std::string::npos) continue;
    RecordName name{.interface = file.substr(0, dash)};
    const auto [rest, fault] = std::from_chars(&file[dash + 1], file.data() + file.size(), name.inode);
    if (fault == std::errc() && std::string_view(rest) == kSuffix) out.push_back(std::move(name));
  }
  return out;
}

}  // namespace

UndoRecord::UndoRecord(std::string directory, std::string interface, std::string file)
    : directory_(std::move(directory)),
      interface_(std::move(interface)),
      file_(std::move(file)),
      netns_inode_(namespace_inode()),
      netns_cookie_(namespace_cookie()),
      owner_pid_(getpid()),
      owner_start_(start_time(getpid())) {}

std::expected<std::optional<UndoRecord>, std::string> UndoRecord::load(const std::string& directory,
                                                                       const std::string& interface) {
  UndoRecord record(directory, interface, "");
  const auto text = read_whole_file(record.path());
  if (!text && text.error() == ENOENT) return std::optional<UndoRecord>();
  if (!text) return std::unexpected(record.path() + ": " + std::strerror(text.error()));
  if (!record.from_json(*text)) return std::unexpected(record.path() + ": not a record of hatsd-user");
  record.written_ = true;
  return std::optional<UndoRecord>(std::move(record));
}

std::string UndoRecord::path() const {
  return record_path(directory_, interface_, netns_inode_);
}

std::expected<void, std::string> UndoRecord::add(UndoItem item) {
  items_.push_back(std::move(item));
  auto written = write();
  if (!written) {
    items_.pop_back();
    return written;
  }
  written_ = true;
  return {};
}

void UndoRecord::drop_last() {
  drop(items_.size() - 1);
}

void UndoRecord::drop(size_t index) {
  items_.erase(items_.begin() + static_cast<ptrdiff_t>(index));
  // If this fails, what is on disk promises too much, and undoing twice is harmless.
  (void)write();
}

std::expected<void, std::string> UndoRecord::replace_hooks(std::vector<UndoHook> hooks) {
  auto old = items_;
  std::erase_if(items_, [](const UndoItem& item) { return std::holds_alternative<UndoHook>(item); });
  items_.insert(items_.begin(), hooks.begin(), hooks.end());
  if (items_.empty() && !written_) return {};
  auto written = write();
  if (!written) items_ = std::move(old);
  written_ = written_ || written.has_value();
  return written;
}

void UndoRecord::remove() {
  items_.clear();
  if (!written_) return;
  unlink(path().c_str());
  written_ = false;
}

bool UndoRecord::owner_alive() const {
  const uint64_t started = start_time(owner_pid_);
  return started != 0 && started == owner_start_;
}

bool UndoRecord::same_namespace() const {
  const uint64_t cookie = namespace_cookie();
  return cookie == 0 || netns_cookie_ == 0 || cookie == netns_cookie_;
}

std::vector<UndoRecord> UndoRecord::of_this_namespace(const std::string& directory) {
  std::vector<UndoRecord> out;
  for (const RecordName& name : record_names(directory)) {
    if (name.inode != namespace_inode()) continue;
    auto record = load(directory, name.interface);
    if (record && *record && (*record)->same_namespace()) out.push_back(std::move(**record));
  }
  return out;
}

std::vector<std::string> UndoRecord::left_behind(const std::string& directory) {
  std::vector<std::string> out;
  for (const UndoRecord& record : of_this_namespace(directory)) {
    if (!record.owner_alive()) out.push_back(record.interface());
  }
  std::ranges::sort(out);
  return out;
}

std::vector<uint64_t> UndoRecord::elsewhere(const std::string& directory, const std::string& interface) {
  std::vector<uint64_t> out;
  for (const RecordName& name : record_names(directory)) {
    if (name.interface != interface || name.inode == namespace_inode()) continue;
    UndoRecord record(directory, interface, "");
    const auto text = read_whole_file(record_path(directory, interface, name.inode));
    if (text && record.from_json(*text) && !record.owner_alive()) out.push_back(name.inode);
  }
  return out;
}

std::optional<std::string> UndoRecord::others_old_value(const std::string& sysctl_path) const {
  std::optional<std::string> found;
  for (const UndoRecord& other : of_this_namespace(directory_)) {
    if (other.interface_ == interface_) continue;
    for (const auto& item : other.items()) {
      const auto* sysctl = std::get_if<UndoSysctl>(&item);
      if (sysctl != nullptr && sysctl->path == sysctl_path) found = sysctl->old_value;
    }
  }
  return found;
}

int UndoRecord::write_file() const {
  if (mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) return errno;
  struct stat status{};
  if (lstat(directory_.c_str(), &status) != 0) return errno;
  if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 0022) != 0) {
    return kNotOursAlone;
  }
  const auto replaced = replace_file(path(), to_json());
  return replaced ? 0 : replaced.error();
}

std::expected<void, std::string> UndoRecord::write() const {
  const int error = make_in_run_directory([this] { return write_file(); });
  if (error == 0) return {};
  if (error == kNotOursAlone) {
    return std::unexpected(directory_ + ": must be a folder of root's that nobody else can write to");
  }
  return std::unexpected(path() + ": " + std::strerror(error));
}

std::string UndoRecord::to_json() const {
  json items = json::array();
  for (const auto& item : items_) items.push_back(item_to_json(item));
  const json out{{"version", kRecordVersion},
                 {"interface", interface_},
                 {"file", std::vector<uint8_t>(file_.begin(), file_.end())},
                 {"netns_cookie", netns_cookie_},
                 {"pid", owner_pid_},
                 {"pid_start", owner_start_},
                 {"undo", items}};
  return out.dump(1) + "\n";
}

bool UndoRecord::from_json(const std::string& text) {
  try {
    const json in = json::parse(text);
    if (in.at("version").get<int>() != kRecordVersion) return false;
    if (in.at("interface").get<std::string>() != interface_) return false;
    const auto file = in.at("file").get<std::vector<uint8_t>>();
    file_.assign(file.begin(), file.end());
    netns_cookie_ = in.at("netns_cookie").get<uint64_t>();
    owner_pid_ = in.at("pid").get<pid_t>();
    owner_start_ = in.at("pid_start").get<uint64_t>();
    items_.clear();
    for (const auto& item : in.at("undo")) items_.push_back(item_from_json(item));
    return true;
  } catch (const json::exception&) {
    return false;
  }
}

}  // namespace hats::app
