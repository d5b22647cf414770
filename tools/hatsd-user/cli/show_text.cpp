#include "tools/hatsd-user/cli/show_text.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <utility>

#include "core/config/tunnel_show.hpp"
#include "core/encap/drop_reason.hpp"
#include "core/wg/drop_reason.hpp"
#include "tools/hatsd-user/control/tunnel_json.hpp"

namespace hats::app {

using nlohmann::json;

namespace {

std::string joined(const json& list, const std::string& none) {
  std::string out;
  for (const json& item : list) {
    if (!out.empty()) out += ", ";
    out += item.get<std::string>();
  }
  return out.empty() ? none : out;
}

std::string features_text(const json& features) {
  constexpr std::array<std::pair<const char*, const char*>, 4> kNames = {
      {{"tun_tso", "TSO"}, {"tun_uso", "USO"}, {"udp_gso", "GSO"}, {"udp_gro", "GRO"}}};
  std::string on, off;
  for (const auto& [key, name] : kNames) {
    if (!features.contains(key)) continue;  // not of this kind of tunnel
    std::string& list = features.value(key, false) ? on : off;
    if (!list.empty()) list += ' ';
    list += name;
  }
  if (on.empty()) return "none (not in use: " + off + ")";
  return off.empty() ? on : on + " (not in use: " + off + ")";
}

std::string drop_text(const std::string& name) {
  for (size_t i = 0; i < wg::kDropReasonNames.size(); ++i) {
    if (wg::kDropReasonNames[i] == name) return std::string(wg::kDropReasonTexts[i]);
  }
  for (size_t i = 0; i < encap::kDropReasonNames.size(); ++i) {
    if (encap::kDropReasonNames[i] == name) return std::string(encap::kDropReasonTexts[i]);
  }
  for (size_t i = 0; i < encap::kStrayReasonNames.size(); ++i) {
    if (encap::kStrayReasonNames[i] == name) return std::string(encap::kStrayReasonTexts[i]);
  }
  if (name == "raw_receive_buffer_full") return "received: the socket's buffer was full";
  if (name == "raw_send_failed") return "sent: the host's network refused the packet";
  if (name == "tun_malformed") return "sent: TUN gave what is no packet";
  if (name == "tun_write_failed") return "received: TUN did not take it";
  if (name == "udp_send_failed") return "sent: the host's network refused the datagram";
  if (name == "udp_send_queue_full") return "sent: the socket's queue was full";
  return name;
}

/// Of a peer, or of an unencrypted tunnel.
std::string ecn_text(const json& counters) {
  const auto suspicious = counters.value("ecn_suspicious", uint64_t{0});
  return suspicious == 0
             ? ""
             : fmt::format("  ECN: {} packets with marks that no router should make\n", suspicious);
}

std::string peer_text(const json& peer, int64_t now_s, uint32_t mtu) {
  std::string out = fmt::format("\npeer: {}\n", peer.value("public_key", ""));
  if (peer.value("has_preshared_key", false)) out += "  preshared key: (hidden)\n";
  if (peer.contains("endpoint") && peer["endpoint"].is_string()) {
    out += "  endpoint: " + peer["endpoint"].get<std::string>();
    if (peer.contains("source")) out += " from " + peer["source"].get<std::string>();
    out += '\n';
  }
  if (peer.contains("waiting")) {
    const std::string error = peer["waiting"].value("error", "");
    out += "  endpoint: waiting for " + peer["waiting"].value("name", "") +
           (error.empty() ? "" : ": " + error) + '\n';
  }
  if (const auto path = peer.value("path_mtu", 0U); path != 0) {
    const auto best = peer.value("best_mtu", 0U);
    out += fmt::format("  path: {} bytes, as the kernel's route has it{}\n", path,
                       mtu > best ? fmt::format("; packets above {} bytes travel in fragments", best) : "");
  }
  out += "  allowed ips: " + joined(peer["allowed_ips"], "(none)") + '\n';
  const int64_t handshake = peer.value("latest_handshake", int64_t{0});
  if (handshake > 0) out += "  latest handshake: " + duration_text(now_s - handshake) + " ago\n";
  if (const auto unanswered = peer.value("unanswered_handshakes", 0); unanswered > 0) {
    out += fmt::format("  unanswered handshakes: {}\n", unanswered);
  }
  const uint64_t received = peer.value("rx_bytes", uint64_t{0}), sent = peer.value("tx_bytes", uint64_t{0});
  if (received + sent > 0) {
    out += fmt::format("  transfer: {} received, {} sent\n", bytes_text(received), bytes_text(sent));
  }
  if (const auto fragmented = peer.value("tx_fragmented", uint64_t{0}); fragmented > 0) {
    out += fmt::format("  sent in fragments: {} datagrams larger than the path\n", fragmented);
  }
  out += ecn_text(peer);
  if (const auto keepalive = peer.value("persistent_keepalive", 0); keepalive > 0) {
    out += "  persistent keepalive: every " + duration_text(keepalive) + '\n';
  }
  return out;
}

std::string drops_text(const json& drops, const char* what, int send_error = 0) {
  std::string out;
  for (const auto& [name, count] : drops.items()) {
    if (count.get<uint64_t>() == 0) continue;
    out += fmt::format("  {}{}: {}", what, drop_text(name), count.get<uint64_t>());
    if (name.ends_with("_send_failed") && send_error != 0)
      out += fmt::format(", the last one for: {}", std::strerror(send_error));
    out += '\n';
  }
  return out;
}

/// What an unencrypted tunnel has beside the rest: its ends in ip(8)'s words, its path, its counters.
std::string tunnel_text(const json& status) {
  const encap::TunnelConfig tunnel = tunnel_from_json(status["tunnel"]);
  std::string words =
      config::tunnel_text("", tunnel, {}, [](uint32_t index) { return "if" + std::to_string(index); });
  words.erase(0, words.find(": ") + 2);
  std::string out = "  tunnel: ";
  for (const char c : words) out += c == '\n' ? std::string("\n         ") : std::string(1, c);
  out += '\n';
  if (status.contains("waiting") && status["waiting"].is_string()) {
    out += "  waiting: " + status["waiting"].get<std::string>() + '\n';
  }
  if (const auto mtu = status.value("path_mtu", 0U); mtu != 0) {
    const std::string source = status.value("source", "");
    out += fmt::format("  path: {} bytes{}{}\n", mtu, source.empty() ? "" : ", from " + source,
                       status.value("path_mtu_learned", false) ? ", as a router said" : "");
  }
  if (status.value("link_failing", false))
    out += "  path: errors came back for our packets in the last 30 seconds\n";
  out +=
      fmt::format("  transfer: {} received ({} packets), {} sent ({} packets)\n",
                  bytes_text(status.value("rx_bytes", uint64_t{0})), status.value("rx_packets", uint64_t{0}),
                  bytes_text(status.value("tx_bytes", uint64_t{0})), status.value("tx_packets", uint64_t{0}));
  const json& keepalives = status["keepalives"];
  if (tunnel.keepalive.interval_s > 0 || keepalives.value("answered", 0) > 0) {
    if (tunnel.keepalive.interval_s > 0) {
      out += fmt::format("  keepalive: every {}, the carrier goes after {} without an answer\n",
                         duration_text(tunnel.keepalive.interval_s), tunnel.keepalive.retries);
    }
    out += fmt::format("  keepalives: {} sent, {} came back, {} answered\n", keepalives.value("sent", 0),
                       keepalives.value("returned", 0), keepalives.value("answered", 0));
  }
  const json& icmp = status["icmp"];
  if (icmp.value("received", 0) + icmp.value("sent", 0) > 0) {
    out += fmt::format("  ICMP errors: {} about our packets, {} sent to those behind the tunnel\n",
                       icmp.value("received", 0), icmp.value("sent", 0));
  }
  if (const auto merged = status.value("merged_receives", 0); merged > 0) {
    out += fmt::format("  merged by the host's GRO: {} receives\n", merged);
  }
  out += ecn_text(status);
  if (status["last_drop"].is_object()) {
    constexpr int64_t kMsPerSecond = 1'000;
    out += fmt::format("  last drop: {}, {} ago\n", status["last_drop"].value("text", ""),
                       duration_text(status["last_drop"].value("age_ms", int64_t{0}) / kMsPerSecond));
  }
  return out;
}

}  // namespace

std::string duration_text(int64_t seconds) {
  constexpr std::array<std::pair<int64_t, const char*>, 4> kUnits = {
      {{86'400, "day"}, {3'600, "hour"}, {60, "minute"}, {1, "second"}}};
  if (seconds <= 0) return "0 seconds";
  std::string out;
  for (const auto& [size, name] : kUnits) {
    const int64_t count = seconds / size;
    seconds %= size;
    if (count > 0)
      out += fmt::format("{}{} {}{}", out.empty() ? "" : ", ", count, name, count == 1 ? "" : "s");
  }
  return out;
}

std::string bytes_text(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.2f} {}", value, kUnits[unit]);
}

std::string show_text(const json& status, int64_t now_s, bool elsewhere) {
  std::string out = fmt::format("interface: {}\n", status.value("name", ""));
  if (elsewhere) {
    out += fmt::format("  network namespace: net:[{}]\n", status.value("network_namespace", uint64_t{0}));
  }
  if (const auto file = status.value("file", ""); !file.empty()) out += "  file: " + file + '\n';
  out += fmt::format("  process: {}\n", status.value("pid", 0));
  if (status.contains("public_key")) {
    out += "  public key: " + status["public_key"].get<std::string>() + '\n';
  } else if (!status.contains("tunnel")) {
    // The file's warning of that is left out where a hook may set the key: here it has not.
    out += "  private key: (none): no handshake is possible\n";
  }
  if (const auto port = status.value("listen_port", 0); port != 0)
    out += fmt::format("  listening port: {}\n", port);
  if (const auto mark = status.value("fwmark", uint32_t{0}); mark != 0)
    out += fmt::format("  fwmark: {:#x}\n", mark);
  out += fmt::format("  link: {}{}, MTU {}\n", status.value("up", false) ? "up" : "down",
                     status.value("carrier", true) ? "" : " without carrier: no keepalive comes back",
                     status.value("mtu", 0));
  if (status.contains("tunnel")) out += tunnel_text(status);
  out += fmt::format("  packet loop: {}\n", status["backends"].value("io", ""));
  if (status["backends"].contains("aead")) out += "  AEAD: " + status["backends"].value("aead", "") + '\n';
  out += "  offloads: " + features_text(status["features"]) + '\n';
  out += drops_text(status["drops"], "dropped, ", status.value("last_send_error", 0));
  if (status.contains("process_strays")) out += drops_text(status["process_strays"], "for no tunnel, ");
  if (status.contains("process_drops")) out += drops_text(status["process_drops"], "of all tunnels, ");
  for (const json& warning : status["warnings"]) out += "  warning: " + warning.get<std::string>() + '\n';
  if (status.contains("peers")) {
    for (const json& peer : status["peers"]) out += peer_text(peer, now_s, status.value("mtu", 0U));
  }
  return out;
}

}  // namespace hats::app
