// The only file that knows yaml-cpp: its events become our tree. yaml-cpp throws; that ends here.
#include "core/config/netplan_tree.hpp"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <map>
#include <spanstream>

#include "core/config/text.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config::netplan {
namespace {

std::unexpected<ConfigError> fail(const SourceText& source, int line, std::string message) {
  return std::unexpected(ConfigError{line, "", std::move(message), source.path});
}

/// Bytes of the UTF-8 sequence at the front of `text`, 0 if it is none (RFC 3629).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                        : (lead & 0xf0) == 0xe0        ? 3
                        : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                       : 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xed && byte(1) > 0x9f;
  const bool too_large = lead == 0xf4 && byte(1) > 0x8f;
  return overlong || surrogate || too_large ? 0 : length;
}

/// yaml-cpp repairs broken UTF-8 and takes some control characters for the end; netplan refuses both.
ConfigResult<void> check_characters(const SourceText& source) {
  std::string_view text = source.text;
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    return fail(source, 1, "the file is UTF-16; save it as UTF-8");
  }
  int line = 1;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return fail(source, line, "the line is not UTF-8; save the file as UTF-8");
    const auto c = static_cast<uint8_t>(text.front());
    if (c == '\n') ++line;
    if ((c < ' ' && c != '\n' && c != '\r' && c != '\t') || c == 0x7f) {
      return fail(source, line, "the line holds a control character; this is not a text file");
    }
    text.remove_prefix(length);
  }
  return {};
}

/// The line `number` of `text`, or "".
std::string_view line_of(std::string_view text, int number) {
  for (int i = 1; i < number; ++i) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

class Builder final : public YAML::EventHandler {
 public:
  Builder(std::deque<Tree::Node>& nodes, int lines) : nodes_(nodes), lines_(lines) {}

  [[nodiscard]] bool is_full() const { return full_; }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    // A value that is not there is marked where the next thing is, maybe at the end of the file; it belongs
    // to its key.
    const uint32_t index = add(Value::Kind::scalar, mark, anchor, {});
    if (full_ || open_.empty()) return;
    const Tree::Node& parent = nodes_[open_.back()];
    if (parent.kind == Value::Kind::mapping && parent.children.size() % 2 == 0) {
      nodes_[index].line = nodes_[parent.children[parent.children.size() - 2]].line;
    }
  }
  void OnAlias(const YAML::Mark& /*mark*/, YAML::anchor_t anchor) override {
    // An anchor that yaml-cpp knows and we do not was beyond the limit.
    if (const auto found = anchors_.find(anchor); found != anchors_.end()) attach(found->second);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                const std::string& value) override {
    add(Value::Kind::scalar, mark, anchor, value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open_.push_back(add(Value::Kind::sequence, mark, anchor, {}));
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open_.push_back(add(Value::Kind::mapping, mark, anchor, {}));
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  uint32_t add(Value::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor, const std::string& text) {
    if (full_ || nodes_.size() >= kMaxNodes) {
      full_ = true;
      return 0;
    }
    const auto index = static_cast<uint32_t>(nodes_.size());
    nodes_.push_back({.kind = kind, .line = std::clamp(mark.line + 1, 1, lines_), .text = text});
    if (anchor != YAML::NullAnchor) anchors_[anchor] = index;
    attach(index);
    return index;
  }
  void attach(uint32_t index) {
    if (full_ || open_.empty()) return;
    if (++links_ > 2 * kMaxNodes) {
      full_ = true;
      return;
    }
    nodes_[open_.back()].children.push_back(index);
  }

  std::deque<Tree::Node>& nodes_;
  std::vector<uint32_t> open_;
  std::map<YAML::anchor_t, uint32_t> anchors_;
  size_t links_ = 0;
  int lines_;
  bool full_ = false;
};

/// What yaml-cpp says of a text, after its "yaml-cpp: error at line 1, column 2: ".
std::string reason(const YAML::Exception& error) {
  std::string out;
  for (const char c : error.msg.substr(0, 120)) out += c >= ' ' && c <= '~' ? c : '?';
  return out;
}

std::unexpected<ConfigError> not_yaml(const SourceText& source, const YAML::Exception& error, int lines) {
  const int line = std::clamp(error.mark.line + 1, 1, lines);
  const std::string_view raw = line_of(source.text, line);
  // "endpoint: {ourside ip}:{ourside port}" is not YAML, but that is not what its writer needs to be told.
  if (const auto placeholder = placeholder_message(raw, false)) {
    if (placeholder->starts_with("the placeholder")) return fail(source, line, *placeholder);
  }
  if (raw.substr(0, raw.find_first_not_of(" \t")).find('\t') != std::string_view::npos) {
    return fail(source, line, "the line is indented with a tab; YAML wants spaces");
  }
  return fail(source, line, "not YAML: " + reason(error));
}

}  // namespace

Value::Kind Value::kind() const {
  return tree_->nodes_[index_].kind;
}
std::string_view Value::text() const {
  return tree_->nodes_[index_].text;
}
int Value::line() const {
  return tree_->nodes_[index_].line;
}
const std::string& Value::file() const {
  return tree_->file_;
}
size_t Value::size() const {
  return tree_->nodes_[index_].children.size();
}
Value Value::at(size_t index) const {
  return {tree_, tree_->nodes_[index_].children[index]};
}

Tree::~Tree() {
  for (Node& node : nodes_) wipe_text(node.text);
}

std::optional<Value> Tree::root() const {
  if (nodes_.empty()) return std::nullopt;
  return Value{this, 0};
}

ConfigResult<Tree> Tree::read(const SourceText& source) {
  if (auto done = check_characters(source); !done) return std::unexpected(done.error());
  std::string_view text = source.text;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const int lines = static_cast<int>(std::ranges::count(text, '\n')) + 1;
  Tree tree;
  tree.file_ = source.path;
  try {
    std::ispanstream stream{std::span<const char>(text)};
    YAML::Parser parser(stream);
    Builder builder(tree.nodes_, lines);
    parser.HandleNextDocument(builder);
    if (builder.is_full()) {
      return fail(source, 1,
                  "the file has more than " + std::to_string(kMaxNodes) + " values; that is too many");
    }
    std::deque<Node> rest;
    Builder ignored(rest, lines);
    if (parser.HandleNextDocument(ignored)) {
      tree.second_document_line_ = rest.empty() ? lines : rest.front().line;
    }
    for (Node& node : rest) wipe_text(node.text);
  } catch (const YAML::DeepRecursion& error) {
    return fail(source, std::clamp(error.mark.line + 1, 1, lines), "brackets or lists are nested too deeply");
  } catch (const YAML::Exception& error) {
    return not_yaml(source, error, lines);
  } catch (const std::exception&) {  // memory, lengths
    return fail(source, 1, "the file cannot be read as YAML");
  }
  return tree;
}

}  // namespace hats::config::netplan
