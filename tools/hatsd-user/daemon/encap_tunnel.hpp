// The TUN queue of one unencrypted tunnel, on its worker's thread. What a packet becomes on the wire is the
// node's business; the hub that all such tunnels share holds it (raw_hub.hpp).
#pragma once

#include <span>

#include "core/encap/node.hpp"
#include "tools/hatsd-user/daemon/raw_hub.hpp"
#include "tools/hatsd-user/daemon/tunnel.hpp"

namespace hats::app {

class EncapTunnel final : public Tunnel {
 public:
  /// `id`: as the hub gave it. The hub is a member of the same worker and outlives the tunnel.
  EncapTunnel(uint32_t slot, tun::TunDevice tun, const WorkerParts& parts, Notify notify, RawHub& hub,
              encap::TunnelId id)
      : Tunnel(slot, std::move(tun), parts, std::move(notify)), hub_(hub), id_(id) {}

  // ---- On the worker's thread ----
  void attach() override;
  /// Takes the tunnel out of the hub, too.
  void detach() override;
  void set_mtu(uint32_t mtu) override { hub_.node().set_mtu(id_, mtu); }
  /// While blocked it is as if the link were down.
  void set_blocked(Now now, bool blocked);
  /// The path was looked up: the next refusal is worth another look.
  void set_path(Now now, const encap::PathInfo& path);
  [[nodiscard]] encap::TunnelId id() const { return id_; }

  // ---- Called by the hub ----
  void write(std::span<const ByteSpan> packets);
  void write_merged(ByteSpan packet, const packet::Offload& offload);
  void send_failed(int error);
  void tell_carrier(bool carrier) const { notify(carrier ? Notice::carrier_back : Notice::carrier_lost); }

 private:
  void send_pieces(std::span<transport::TunRead> reads, Now now) override;
  int link_set(Now now, bool up, bool was_up) override;

  RawHub& hub_;
  encap::TunnelId id_;
  bool link_up_ = false;
  bool blocked_ = false;
  bool refusal_told_ = false;
};

}  // namespace hats::app
