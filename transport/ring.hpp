// An io_uring with what this loop asks of it, and the probes that say what this kernel's can do.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <expected>
#include <memory>

namespace hats::transport {

/// What io_uring has on this host, beyond what the loop cannot do without (multishot receives with provided
/// buffer rings, Linux 6.0).
struct UringFeatures {
  /// Registered files, and they are let go as soon as they are removed. Before Linux 6.13 they stay until
  /// older requests on other files end, which for a multishot receive is never: the port would stay bound.
  bool registered_files = false;
};

class Ring {
 public:
  /// `enabled` false: the thread that calls enable() becomes the only one to submit. Error: errno (EPERM and
  /// ENOSYS where io_uring is forbidden, EINVAL where it is too old).
  static std::expected<std::unique_ptr<Ring>, int> make(uint32_t entries, bool enabled);
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();

  [[nodiscard]] io_uring* get() { return &ring_; }
  /// Lets the calling thread submit. 0 or errno.
  [[nodiscard]] int enable();
  /// A submission entry; submits what is there when the queue is full.
  [[nodiscard]] io_uring_sqe* entry();

 private:
  Ring() = default;
  io_uring ring_{};
};

/// Tries it out on a small ring of its own. Error: errno.
std::expected<UringFeatures, int> probe_uring();

}  // namespace hats::transport
