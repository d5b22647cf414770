// What a worker's loop speaks to. A member has descriptors in the loop; a tunnel is a member with a TUN
// device. The worker knows no kind of tunnel: it hands on batches by tag.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "core/base/time.hpp"
#include "core/packet/cut.hpp"
#include "crypto/aead.hpp"
#include "crypto/rng.hpp"
#include "tools/hatsd-user/daemon/batch_space.hpp"
#include "tools/hatsd-user/daemon/icmp_sender.hpp"
#include "tools/hatsd-user/daemon/tun_writer.hpp"
#include "transport/loop.hpp"
#include "tun/tun_device.hpp"

namespace hats::app {

class Tickets;

/// Counters of the composition itself; the cores have their own.
struct TunnelCounters {
  uint64_t tun_malformed = 0;   // TUN reads that cannot be cut
  uint64_t send_failed = 0;     // datagrams or outer packets that the kernel refused for good
  uint64_t source_retries = 0;  // WireGuard: sends repeated without their dead source
  uint64_t write_failed = 0;    // writes that TUN refused; of a merged one the packets went singly
  uint64_t icmp_sent = 0;       // errors to senders whose packets had no way out
  // WireGuard with several workers: batches that another thread sealed or opened, and how often the worker
  // had to wait for one.
  uint64_t sealed_elsewhere = 0, opened_elsewhere = 0, work_waits = 0;
  int last_send_error = 0;  // errno
};

/// What a worker lends to its members. All of it outlives them.
struct WorkerParts {
  transport::Loop& loop;
  crypto::Aead& aead;
  crypto::Rng& rng;
  BatchSpace& space;
  const IcmpSender* icmp;  // null: no ICMP errors (no CAP_NET_RAW at start)
  Tickets* tickets;        // null: one worker, and nobody else to work for it
};

/// A descriptor of a member, 0..kPartsOfMember - 1; each member numbers its own.
using Part = uint32_t;
inline constexpr Part kPartsOfMember = 32;

/// All calls come on the worker's thread.
class LoopMember {
 public:
  /// `slot` numbers the members of a worker; the loop's tags are made of it.
  LoopMember(uint32_t slot, const WorkerParts& parts) : slot_(slot), parts_(parts) {}
  virtual ~LoopMember() = default;
  LoopMember(const LoopMember&) = delete;
  LoopMember& operator=(const LoopMember&) = delete;

  virtual void attach() = 0;
  /// Takes all descriptors out of the loop. After it the object may be destroyed on any thread.
  virtual void detach() = 0;

  virtual void on_tun(std::span<transport::TunRead> /*reads*/, Now /*now*/) {}
  virtual void on_udp(Part /*part*/, std::span<transport::UdpReceived> /*received*/, Now /*now*/) {}
  virtual void on_raw(Part /*part*/, std::span<transport::RawReceived> /*received*/, Now /*now*/) {}
  virtual void on_send_failed(Part /*part*/, transport::UdpSend& /*send*/, int /*error*/) {}
  virtual void on_raw_send_failed(Part /*part*/, const transport::RawSend& /*send*/, int /*error*/,
                                  Now /*now*/) {}
  virtual void on_write_failed() {}
  virtual void on_tun_closed() {}

  /// Whether the three below are called, at each wake-up. A thousand tunnels that do not want it cost
  /// nothing.
  [[nodiscard]] virtual bool wants_wake() const { return false; }
  virtual void on_wake(Now /*now*/) {}
  [[nodiscard]] virtual std::optional<BootTime> next_deadline() const { return std::nullopt; }
  [[nodiscard]] virtual bool has_backlog() const { return false; }

  [[nodiscard]] uint32_t slot() const { return slot_; }
  [[nodiscard]] transport::Tag tag(Part part) const { return slot_ * kPartsOfMember + part; }
  static constexpr uint32_t slot_of(transport::Tag tag) { return tag / kPartsOfMember; }
  static constexpr Part part_of(transport::Tag tag) { return tag % kPartsOfMember; }

 protected:
  uint32_t slot_;
  WorkerParts parts_;
};

class Tunnel : public LoopMember {
 public:
  /// What the control thread is told of, on the worker's thread.
  enum class Notice : uint8_t {
    closed,           // the TUN queue is dead
    merging_refused,  // the kernel has refused a merged write: TunWriter merges less from now on
    used_while_down,  // the link carried a packet before we heard that it is up
    path_refused,     // the kernel calls an outer packet too large: the path is not what we think
    carrier_lost,     // GRE keepalives are unanswered
    carrier_back,
  };
  using Notify = std::function<void(Notice notice)>;

  /// The TUN queue is part 0 of every tunnel.
  static constexpr Part kTunPart = 0;

  Tunnel(uint32_t slot, tun::TunDevice tun, const WorkerParts& parts, Notify notify)
      : LoopMember(slot, parts),
        tun_(std::move(tun)),
        writer_(parts.loop, tag(kTunPart), tun_.features(), parts.space),
        notify_(std::move(notify)) {}

  void attach() override;
  void detach() override;
  void on_tun(std::span<transport::TunRead> reads, Now now) final;
  void on_write_failed() final;
  void on_tun_closed() final;

  /// The link is up or down. 0, or the errno of what had to be opened for it: the next call tries once more.
  int set_up(Now now, bool up);
  /// Bytes of the link's MTU.
  virtual void set_mtu(uint32_t mtu) = 0;
  /// Where the link is: its index there, and whether that is the process's own namespace.
  void set_place(uint32_t index, bool at_home) {
    index_ = index;
    at_home_ = at_home;
  }
  /// Sends an error to the sender of an inner packet, where the link is.
  void send_icmp(const packet::IcmpError& error);
  /// Of the descriptor; safe from any thread while the tunnel lives.
  [[nodiscard]] const tun::TunDevice& tun() const { return tun_; }
  [[nodiscard]] const TunnelCounters& counters() const { return counters_; }

 protected:
  /// The packets that TUN reads were cut into are in the worker's space, `pieces`: to be sent, and cleared
  /// together with `heads`. `piece_reads` tells the read of each.
  virtual void send_pieces(std::span<transport::TunRead> reads, Now now) = 0;
  /// set_up() of the kind; called also where nothing has changed.
  virtual int link_set(Now now, bool up, bool was_up) = 0;
  [[nodiscard]] bool attached() const { return attached_; }
  [[nodiscard]] bool tun_dead() const { return tun_dead_; }
  void notify(Notice notice) const { notify_(notice); }

  tun::TunDevice tun_;
  TunWriter writer_;
  TunnelCounters counters_;

 private:
  void cut_read(std::span<transport::TunRead> reads, size_t index, Now now);
  /// The error as a packet through the TUN, from the offender's destination: for a link whose namespace our
  /// sockets are not in.
  bool write_icmp(const packet::IcmpError& error);

  Notify notify_;
  uint32_t index_ = 0;
  bool at_home_ = true;
  bool up_ = false;
  bool attached_ = false;
  bool tun_dead_ = false;
  bool refusal_of_merging_told_ = false;
};

}  // namespace hats::app
