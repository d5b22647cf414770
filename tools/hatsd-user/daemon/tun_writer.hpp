// Writes inner packets into a TUN queue: those of one flow merged into large writes where the queue takes
// them (packet::merge), packets that were merged already with an offload of their own, or cut again.
#pragma once

#include <span>

#include "core/packet/merge.hpp"
#include "core/packet/piece.hpp"
#include "tools/hatsd-user/daemon/batch_space.hpp"
#include "transport/loop.hpp"
#include "tun/tun_device.hpp"

namespace hats::app {

class TunWriter {
 public:
  /// `space` is the worker's; it outlives the writer.
  TunWriter(transport::Loop& loop, transport::Tag tag, const tun::TunFeatures& features, BatchSpace& space)
      : loop_(loop),
        space_(space),
        tag_(tag),
        features_(features),
        limits_{.tcp = features.tso, .udp = features.uso} {}

  /// Writes whole IP packets in their order, merged by flow. They lie in the memory that space.lenders
  /// tells; merging changes the headers of some. Where the kernel refuses a merged write (EINVAL), its
  /// packets are written one by one, and merging of that protocol is off from then on.
  void write(std::span<const ByteSpan> packets);
  /// Writes one packet that stands for several, with this offload; where the queue takes no such offload, or
  /// refuses this one, it is cut and its pieces are written. The packet's bytes are used up.
  void write_merged(ByteSpan packet, const packet::Offload& offload);
  /// What is merged still.
  [[nodiscard]] const packet::MergeLimits& limits() const { return limits_; }

 private:
  void write_plan(const packet::TunWritePlan& plan);
  void turn_off(packet::Offload::Kind kind);
  int write_one(const packet::Offload& offload, std::span<const packet::Fragment> fragments);
  [[nodiscard]] bool takes(const packet::Offload& offload) const;

  transport::Loop& loop_;
  BatchSpace& space_;
  transport::Tag tag_;
  tun::TunFeatures features_;
  packet::MergeLimits limits_;
};

}  // namespace hats::app
