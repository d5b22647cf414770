#include "tools/hatsd-user/control/status_json.hpp"

#include <unistd.h>

#include <algorithm>
#include <unordered_map>

#include "core/config/mtu_advice.hpp"

namespace hats::app {

using nlohmann::json;

namespace {

using WaitingByPeer =
    std::unordered_map<crypto::PublicKey, const EndpointResolver::Waiting*, crypto::PublicKeyHash>;

json peer_json(const wg::PeerSnapshot& peer, const wg::PeerStatus& status, const WaitingByPeer& waiting) {
  json out = {{"public_key", crypto::key_to_base64(peer.public_key.bytes)},
              {"has_preshared_key", !peer.preshared_key.is_zero()},
              {"endpoint", peer.endpoint.is_set() ? json(peer.endpoint.text()) : json()},
              {"latest_handshake", peer.last_handshake_s},
              {"rx_bytes", peer.rx_bytes},
              {"tx_bytes", peer.tx_bytes},
              {"tx_fragmented", peer.tx_fragmented},
              {"ecn_suspicious", peer.ecn_suspicious},
              {"persistent_keepalive", peer.persistent_keepalive_s}};
  json allowed = json::array();
  for (const Prefix& prefix : peer.allowed_ips) allowed.push_back(prefix.text());
  out["allowed_ips"] = std::move(allowed);
  out["unanswered_handshakes"] = status.attempts;
  if (status.source.address.is_set()) out["source"] = status.source.address.text();
  if (const auto found = waiting.find(peer.public_key); found != waiting.end()) {
    out["waiting"] = {{"name", found->second->name}, {"error", found->second->error}};
  }
  return out;
}

}  // namespace

json status_json(const InterfaceStatus& status) {
  json out = {{"name", status.name},
              {"id", status.id},
              {"kind", "wireguard"},
              {"pid", getpid()},
              {"file", status.file},
              {"network_namespace", status.network_namespace},
              {"mtu", status.mtu},
              {"up", status.up},
              {"listen_port", status.device.listen_port},
              {"fwmark", status.device.fwmark},
              {"backends", {{"io", status.io}, {"aead", status.aead}}},
              {"features",
               {{"tun_vnet_header", status.tun.vnet_header},
                {"tun_tso", status.tun.tso},
                {"tun_uso", status.tun.uso},
                {"udp_gso", status.udp.gso},
                {"udp_gro", status.udp.gro}}},
              {"warnings", status.warnings}};
  if (status.device.private_key) out["public_key"] = crypto::key_to_base64(status.device.public_key.bytes);
  // By index and by hash: there may be tens of thousands of peers.
  WaitingByPeer waiting;
  for (const auto& one : status.waiting) waiting.emplace(one.peer, &one);
  json peers = json::array();
  for (size_t i = 0; i < std::min(status.device.peers.size(), status.peers.size()); ++i) {
    peers.push_back(peer_json(status.device.peers[i], status.peers[i], waiting));
    if (i < status.path_mtus.size() && status.path_mtus[i]) {
      const config::Encapsulation outer{.outer = status.device.peers[i].endpoint.address.family};
      peers.back()["path_mtu"] = *status.path_mtus[i];
      peers.back()["best_mtu"] = config::best_mtu(outer, *status.path_mtus[i]);
    }
  }
  out["peers"] = std::move(peers);
  json drops = json::object();
  for (size_t i = 0; i < status.drops.counts.size(); ++i) {
    drops[std::string(wg::kDropReasonNames[i])] = status.drops.counts[i];
  }
  drops["tun_malformed"] = status.counters.tun_malformed;
  drops["tun_write_failed"] = status.counters.write_failed;
  drops["udp_send_failed"] = status.counters.send_failed;
  drops["udp_send_queue_full"] = status.loop.sends_dropped;
  out["drops"] = std::move(drops);
  out["last_send_error"] = status.counters.last_send_error;
  out["counters"] = {{"wakeups", status.loop.wakeups},
                     {"tun_reads", status.loop.tun_reads},
                     {"tun_writes", status.loop.tun_writes},
                     {"udp_receives", status.loop.udp_receives},
                     {"udp_sends", status.loop.udp_sends},
                     {"udp_datagrams_sent", status.loop.udp_datagrams_sent},
                     {"receive_waited_for_buffers", status.loop.receive_no_buffers},
                     {"gso_fallbacks", status.loop.gso_fallbacks},
                     {"source_retries", status.counters.source_retries},
                     {"icmp_errors_sent", status.counters.icmp_sent},
                     {"batches_sealed_elsewhere", status.counters.sealed_elsewhere},
                     {"batches_opened_elsewhere", status.counters.opened_elsewhere},
                     {"waits_for_other_cores", status.counters.work_waits}};
  return out;
}

}  // namespace hats::app
