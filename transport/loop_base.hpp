// What both backends share: the descriptors and their tags, sends and writes, failures, posts, the clock and
// the deadline. A backend adds how to wait and how to receive.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "transport/loop.hpp"
#include "transport/mailbox.hpp"
#include "transport/pacer.hpp"
#include "transport/raw_sender.hpp"
#include "transport/socket.hpp"
#include "transport/socket_reader.hpp"
#include "transport/udp_sender.hpp"

namespace hats::transport {

/// One descriptor of the loop. A backend derives from it. It lives until the end of the wake-up in which it
/// was removed, so that events already fetched find it closed instead of gone.
struct Port {
  enum class Kind : uint8_t { tun, udp, raw };
  virtual ~Port() = default;

  Tag tag = 0;
  int fd = -1;
  Kind kind = Kind::tun;
  bool open = true;      // until remove()
  bool blocked = false;  // socket: waits for POLLOUT
  bool dirty = false;    // socket: is in the loop's list of ports with something to send
  UdpPort udp;           // of kind udp
  RawPort raw;           // of kind raw
};

/// The descriptors every loop has.
struct LoopFds {
  UniqueFd wake, timer;
  bool boot_timer = false;  // the timer runs on CLOCK_BOOTTIME (Linux 3.15), else on CLOCK_MONOTONIC
};
/// Error: errno.
std::expected<LoopFds, int> make_loop_fds();

class LoopBase : public Loop {
 public:
  LoopBase(std::unique_ptr<Arena> arena, LoopFds fds);
  ~LoopBase() override;

  [[nodiscard]] Arena& arena() override { return *arena_; }
  [[nodiscard]] LoopCounters counters() const override { return counters_; }
  void add_tun(Tag tag, int fd) override;
  void add_udp(Tag tag, int fd) override;
  void add_raw(Tag tag, int fd) override;
  void remove(Tag tag) override;
  void send(Tag tag, UdpSend send) override;
  void send_raw(Tag tag, RawSend send) override;
  int write(Tag tag, const TunWrite& write) override;
  void run(Handler& handler) override;
  /// See LoopOptions::realtime. Before run().
  void set_realtime(bool realtime) { realtime_ = realtime; }
  void stop() override { mailbox_.stop(); }
  void post(std::function<void()> function) override { mailbox_.post(std::move(function)); }

 protected:
  // What a backend does.
  virtual std::unique_ptr<Port> make_port() = 0;
  /// Begins to receive from the port. Before run() this is called when run() starts.
  virtual void start(Port& port) = 0;
  /// The kernel does nothing with port.fd on our behalf when this returns.
  virtual void finish(Port& port) = 0;
  /// On the loop's thread, before the first wait.
  virtual void begin() = 0;
  /// One wake-up: waits (not at all if `poll`), calls wake_up() once, receives, and calls the handler's
  /// on_tun, on_udp, on_raw and on_tun_closed.
  virtual void turn(bool poll) = 0;
  /// The socket's FIFO is blocked: call writable() once when it can be written to.
  virtual void watch_writable(Port& port) = 0;
  /// After the last turn: gives back every slab and closes what begin() opened.
  virtual void end() = 0;

  // What a backend calls.
  void wake_up();  // reads the clock
  void writable(Port& port);
  /// Delivers one batch and sends what the handler sent meanwhile.
  void deliver(Port& port, std::span<TunRead> reads);
  void deliver(Port& port, std::span<UdpReceived> received);
  void deliver(Port& port, std::span<RawReceived> received);
  /// Reads name and control data of a receive. False if it is to be dropped; it has been counted then.
  [[nodiscard]] bool parse(const msghdr& message, UdpReceived& out) { return parse_received(message, out); }
  [[nodiscard]] bool parse(const msghdr& message, RawReceived& out);
  /// Removes the port and tells the handler.
  void close_tun(Port& port, int error);

  [[nodiscard]] Handler& handler() { return *handler_; }
  [[nodiscard]] Now now() const { return now_; }
  [[nodiscard]] int wake_fd() const { return mailbox_.wake_fd(); }
  [[nodiscard]] int timer_fd() const { return timer_fd_.get(); }

  std::unique_ptr<Arena> arena_;
  LoopCounters counters_;
  std::vector<std::unique_ptr<Port>> ports_;

 private:
  struct FailedWrite {
    Tag tag;
    int error;
  };

  [[nodiscard]] Port* find(Tag tag) const;
  Port& add(Tag tag, int fd, Port::Kind kind);
  template <typename Send>
  bool copy_into_slab(Send& send);
  template <typename Entry>
  void enqueue(Port& port, SendQueue<Entry>& queue, Entry entry);
  SendResult send_queued(Port& port);
  void flush(Port& port);
  void drop_queued(Port& port);
  template <typename Send, typename Tell>
  void tell_failed(std::vector<FailedSend<Send>>& failures, Tell tell);
  void settle();
  bool must_poll();
  void pace(uint64_t packets_before);
  [[nodiscard]] uint64_t packets() const {
    return counters_.tun_reads + counters_.udp_receives + counters_.raw_receives;
  }
  void set_timer(BootTime deadline);
  void flush_at_end();

  Mailbox mailbox_;
  UniqueFd timer_fd_;
  bool boot_timer_;
  std::optional<BootTime> timer_at_;  // what timer_fd_ is set to
  std::unordered_map<Tag, Port*> by_tag_;
  std::vector<std::unique_ptr<Port>> removed_;  // freed at the end of the wake-up
  Handler* handler_ = nullptr;
  Now now_;
  bool running_ = false;
  bool realtime_ = false;
  Pacer pacer_;

  UdpSender udp_sender_{counters_};
  RawSender raw_sender_{counters_};
  Lease copy_slab_;  // takes sends without a slab, one behind another
  uint32_t copy_used_ = 0;
  std::vector<Port*> dirty_;
  Port* last_raw_ = nullptr;  // on which a raw packet was queued last
  std::vector<FailedSend<UdpSend>> failed_sends_;
  std::vector<FailedSend<RawSend>> failed_raw_;
  std::vector<FailedWrite> failed_writes_;
  uint8_t resends_ = 0;  // of the failed send the handler is being told of
};

}  // namespace hats::transport
