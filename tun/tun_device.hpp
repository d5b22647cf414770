// A TUN device and its one queue.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

namespace hats::tun {

enum class OffloadChoice : uint8_t { automatic, off };

/// What the queue was able to turn on; for `show` and for merging.
struct TunFeatures {
  bool vnet_header = false;  // every read and write starts with a virtio_net_hdr
  bool tso = false;          // TSO4 and TSO6, both ways
  bool tso_ecn = false;
  bool uso = false;         // USO4 and USO6, both ways (Linux 6.2 and later)
  uint8_t header_size = 0;  // bytes of the virtio header, 0 without
};

struct TunError {
  int error = 0;        // errno
  std::string message;  // a sentence with the remedy (missing /dev/net/tun, no CAP_NET_ADMIN, name taken)
};

class TunDevice {
 public:
  /// Creates the device `name`: IFF_TUN|IFF_NO_PI, non-blocking, not persistent, addrgenmode none, no
  /// MULTICAST flag. It is down and has the kernel's default MTU until tun/link.hpp sets it. A name that
  /// exists already is EBUSY/EEXIST. OffloadChoice::off: no virtio header at all.
  static std::expected<TunDevice, TunError> create(const std::string& name, OffloadChoice offload);
  /// Takes over a TUN descriptor made by somebody else with IFF_TUN|IFF_NO_PI (WG_TUN_FD); name and virtio
  /// header are read from it, link flags stay as its maker left them. Owns `fd` from the call on, also when
  /// it fails. OffloadChoice::off on a queue with a virtio header: the header stays, nothing is offloaded.
  static std::expected<TunDevice, TunError> adopt(int fd, OffloadChoice offload);

  TunDevice(TunDevice&&) noexcept;
  TunDevice& operator=(TunDevice&&) noexcept;
  ~TunDevice();  // closes the queue: the interface vanishes

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] const std::string& name() const { return name_; }  // as it was at creation
  [[nodiscard]] const TunFeatures& features() const { return features_; }
  /// The name and index now (TUNGETIFF); the index is of the namespace the device is in. Error: errno.
  [[nodiscard]] std::expected<std::string, int> current_name() const;
  /// A descriptor of the network namespace that the device is in now (TUNGETDEVNETNS), or errno. The caller
  /// owns it.
  [[nodiscard]] std::expected<int, int> namespace_fd() const;
  /// Carrier on or off (TUNSETCARRIER, Linux 5.0). Error: errno.
  [[nodiscard]] int set_carrier(bool on) const;

 private:
  TunDevice() = default;
  int fd_ = -1;
  std::string name_;
  TunFeatures features_;
};

}  // namespace hats::tun
