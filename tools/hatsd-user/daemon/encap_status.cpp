#include "tools/hatsd-user/daemon/encap_status.hpp"

#include <unistd.h>

#include "tools/hatsd-user/control/tunnel_json.hpp"

namespace hats::app {

using nlohmann::json;

namespace {

json drops_json(const EncapStatus& status) {
  json out = json::object();
  for (size_t i = 0; i < encap::kDropReasonNames.size(); ++i) {
    out[std::string(encap::kDropReasonNames[i])] = status.node.counters.drops[i];
  }
  out["tun_malformed"] = status.counters.tun_malformed;
  out["tun_write_failed"] = status.counters.write_failed;
  out["raw_send_failed"] = status.counters.send_failed;
  return out;
}

json strays_json(const EncapStatus& status) {
  json out = json::object();
  for (size_t i = 0; i < encap::kStrayReasonNames.size(); ++i) {
    out[std::string(encap::kStrayReasonNames[i])] = status.strays[i];
  }
  return out;
}

// What was lost before anybody could tell whose it was.
json process_drops_json(const EncapStatus& status) {
  json out = json::object();
  if (status.overflow) out["raw_receive_buffer_full"] = *status.overflow;
  return out;
}

json last_drop_json(const EncapStatus& status) {
  constexpr int64_t kNsPerMs = 1'000'000;
  if (!status.node.last_drop) return {};
  const auto reason = static_cast<size_t>(*status.node.last_drop);
  return {{"reason", encap::kDropReasonNames[reason]},
          {"text", encap::kDropReasonTexts[reason]},
          {"age_ms", (status.now.boot - status.node.last_drop_at).ns / kNsPerMs}};
}

}  // namespace

json encap_status_json(const EncapStatus& status) {
  const encap::TunnelStatus& node = status.node;
  const encap::TunnelCounters& counters = node.counters;
  return {{"name", status.name},
          {"id", status.id},
          {"kind", kind_name(node.config.kind)},
          {"mode", status.mode},
          {"pid", getpid()},
          {"file", status.file},
          {"network_namespace", status.network_namespace},
          {"mtu", status.mtu},
          {"up", status.up},
          {"tunnel", tunnel_to_json(node.config)},
          {"source", node.source.text()},
          {"path_mtu", node.path_mtu},
          {"path_mtu_learned", node.path_mtu_learned},
          {"carrier", node.carrier},
          {"link_failing", node.link_failing},
          {"waiting", status.waiting.empty() ? json() : json(status.waiting)},
          {"rx_packets", counters.rx_packets},
          {"rx_bytes", counters.rx_bytes},
          {"tx_packets", counters.tx_packets},
          {"tx_bytes", counters.tx_bytes},
          {"keepalives",
           {{"answered", counters.keepalives_answered},
            {"sent", counters.keepalives_sent},
            {"returned", counters.keepalives_returned}}},
          {"icmp",
           {{"owed", counters.icmp_sent},
            {"sent", status.counters.icmp_sent},
            {"received", counters.icmp_received}}},
          {"merged_receives", counters.merged},
          {"ecn_suspicious", counters.ecn_suspicious},
          {"drops", drops_json(status)},
          {"last_drop", last_drop_json(status)},
          {"last_send_error", status.counters.last_send_error},
          {"process_strays", strays_json(status)},
          {"process_drops", process_drops_json(status)},
          {"backends", {{"io", status.io}}},
          {"features",
           {{"tun_vnet_header", status.tun.vnet_header},
            {"tun_tso", status.tun.tso},
            {"tun_uso", status.tun.uso}}},
          {"counters",
           {{"wakeups", status.loop.wakeups},
            {"tun_reads", status.loop.tun_reads},
            {"tun_writes", status.loop.tun_writes},
            {"send_queue_full", status.loop.sends_dropped},
            {"receive_waited_for_buffers", status.loop.receive_no_buffers}}},
          {"warnings", status.warnings}};
}

std::string alike_text(const std::string& other) {
  return "has the same local address, remote, key and protocol as " + other +
         ": on the wire nobody could tell them apart; give one of them another key or local address";
}

}  // namespace hats::app
