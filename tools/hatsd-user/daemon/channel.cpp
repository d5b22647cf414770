#include "tools/hatsd-user/daemon/channel.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "crypto/secret.hpp"

namespace hats::app {

using nlohmann::json;

namespace {

// True if the call is worth trying again: it was interrupted, or the descriptor is non-blocking (whoever
// waits for it by Asio makes it so) and had to wait, as between the two parts of a message.
bool may_try_again(int fd, short events) {
  if (errno == EINTR) return true;
  if (errno != EAGAIN) return false;
  pollfd wait{fd, events, 0};
  return poll(&wait, 1, -1) >= 0 || errno == EINTR;
}

bool send_all(int fd, const void* data, size_t size, std::span<const int> descriptors = {}) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  while (size > 0) {
    const ssize_t count = send_with(fd, {bytes, size}, descriptors);
    if (count < 0 && may_try_again(fd, POLLOUT)) continue;
    if (count <= 0) return false;
    descriptors = {};
    bytes += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

bool receive_all(int fd, void* data, size_t size, Descriptors& descriptors) {
  auto* bytes = static_cast<uint8_t*>(data);
  while (size > 0) {
    const ssize_t count = receive_with(fd, {bytes, size}, descriptors);
    if (count < 0 && may_try_again(fd, POLLIN)) continue;
    if (count <= 0) return false;
    bytes += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

void wipe_text(std::string& text) {
  crypto::wipe({reinterpret_cast<uint8_t*>(text.data()), text.size()});
}

json endpoint_json(const Endpoint& endpoint) {
  if (!endpoint.is_set()) return {};
  return {{"address", endpoint.address.text()}, {"port", endpoint.port}, {"scope", endpoint.scope_id}};
}

Endpoint endpoint_from(const json& value) {
  Endpoint out;
  if (!value.is_object()) return out;
  out.address = IpAddress::parse(value.value("address", "")).value_or(IpAddress{});
  out.port = value.value("port", uint16_t{0});
  out.scope_id = value.value("scope", uint32_t{0});
  return out;
}

template <typename Key>
void key_from(const json& value, const char* name, Key& key) {
  std::array<uint8_t, crypto::kKeySize> bytes{};
  (void)crypto::key_from_hex(value.value(name, ""), bytes);
  key = Key(std::span<const uint8_t, crypto::kKeySize>(bytes));
  crypto::wipe(bytes);
}

}  // namespace

std::pair<transport::UniqueFd, transport::UniqueFd> make_channel() {
  std::array<int, 2> ends{-1, -1};
  (void)socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data());
  return {transport::UniqueFd(ends[0]), transport::UniqueFd(ends[1])};
}

bool send_message(int fd, const json& message, std::span<const int> descriptors) {
  std::string text = message.dump(-1, ' ', false, json::error_handler_t::replace);
  const auto size = static_cast<uint32_t>(text.size());
  const bool sent = send_all(fd, &size, sizeof size, descriptors) && send_all(fd, text.data(), text.size());
  wipe_text(text);
  return sent;
}

std::optional<json> receive_message(int fd) {
  Descriptors unwanted;
  return receive_message(fd, unwanted);
}

std::optional<json> receive_message(int fd, Descriptors& descriptors) {
  uint32_t size = 0;
  if (!receive_all(fd, &size, sizeof size, descriptors) || size > kMaxChannelMessage) return std::nullopt;
  std::string text(size, '\0');
  if (!receive_all(fd, text.data(), text.size(), descriptors)) return std::nullopt;
  json message = json::parse(text, nullptr, false);
  wipe_text(text);
  if (!message.is_object()) return std::nullopt;
  return message;
}

json snapshot_to_json(const wg::DeviceSnapshot& snapshot) {
  json out = {{"listen_port", snapshot.listen_port}, {"fwmark", snapshot.fwmark}};
  if (snapshot.private_key) out["private_key"] = crypto::key_to_hex(snapshot.private_key->view());
  json peers = json::array();
  for (const wg::PeerSnapshot& peer : snapshot.peers) {
    json allowed = json::array();
    for (const Prefix& prefix : peer.allowed_ips) allowed.push_back(prefix.text());
    peers.push_back({{"public_key", crypto::key_to_hex(peer.public_key.bytes)},
                     {"preshared_key", crypto::key_to_hex(peer.preshared_key.view())},
                     {"endpoint", endpoint_json(peer.endpoint)},
                     {"persistent_keepalive", peer.persistent_keepalive_s},
                     {"allowed_ips", std::move(allowed)}});
  }
  out["peers"] = std::move(peers);
  return out;
}

std::optional<wg::DeviceSnapshot> snapshot_from_json(const json& value) {
  if (!value.is_object() || !value.contains("peers")) return std::nullopt;
  wg::DeviceSnapshot out;
  out.listen_port = value.value("listen_port", uint16_t{0});
  out.fwmark = value.value("fwmark", uint32_t{0});
  if (value.contains("private_key")) key_from(value, "private_key", out.private_key.emplace());
  for (const json& from : value["peers"]) {
    wg::PeerSnapshot peer;
    (void)crypto::key_from_hex(from.value("public_key", ""), peer.public_key.bytes);
    key_from(from, "preshared_key", peer.preshared_key);
    if (from.contains("endpoint")) peer.endpoint = endpoint_from(from["endpoint"]);
    peer.persistent_keepalive_s = from.value("persistent_keepalive", uint16_t{0});
    if (from.contains("allowed_ips")) {
      for (const json& text : from["allowed_ips"]) {
        if (const auto prefix = Prefix::parse(text.get<std::string>())) peer.allowed_ips.push_back(*prefix);
      }
    }
    out.peers.push_back(std::move(peer));
  }
  return out;
}

}  // namespace hats::app
