#include "tun/tun_device.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "tun/link.hpp"
#include "tun/vnet_header.hpp"

namespace hats::tun {

namespace {

constexpr const char* kTunPath = "/dev/net/tun";

// Linux 6.2; not in Debian 12's headers.
constexpr unsigned kTunUso4 = 0x20, kTunUso6 = 0x40;
constexpr unsigned kTso = TUN_F_TSO4 | TUN_F_TSO6;

// Each step drops what the kernel before it may have refused; the last one is no offload at all.
struct OffloadStep {
  unsigned flags;
  bool tso, tso_ecn, uso;
};
constexpr std::array<OffloadStep, 6> kOffloadSteps = {{
    {TUN_F_CSUM | kTso | TUN_F_TSO_ECN | kTunUso4 | kTunUso6, true, true, true},
    {TUN_F_CSUM | kTso | kTunUso4 | kTunUso6, true, false, true},
    {TUN_F_CSUM | kTso | TUN_F_TSO_ECN, true, true, false},
    {TUN_F_CSUM | kTso, true, false, false},
    {TUN_F_CSUM, false, false, false},
    {0, false, false, false},
}};

std::string reason(int error) {
  return std::string(": ") + std::strerror(error);
}

TunError no_device_node(int error) {
  return {
      error,
      std::string(kTunPath) + " cannot be opened" + reason(error) +
          ". On a plain host run `modprobe tun`; with Docker add `--device /dev/net/tun --cap-add "
          "NET_ADMIN`; "
          "with LXC or Proxmox put `lxc.cgroup2.devices.allow: c 10:200 rwm` and `lxc.mount.entry: "
          "/dev/net/tun "
          "dev/net/tun none bind,create=file` into the container's configuration; with OpenVZ run `vzctl set "
          "CTID --devnodes net/tun:rw --save` on the host."};
}

TunError no_permission(int error, const std::string& name) {
  return {error,
          "making the interface '" + name + "' is not permitted" + reason(error) +
              ". It needs CAP_NET_ADMIN in this network namespace: run as root; with Docker add `--cap-add "
              "NET_ADMIN`; under systemd set `AmbientCapabilities=CAP_NET_ADMIN`; with OpenVZ run `vzctl set "
              "CTID "
              "--capability net_admin:on --save` on the host."};
}

TunError name_taken(int error, const std::string& name) {
  return {error, "an interface named '" + name + "' exists already. Take it down first (`hatsd-user down " +
                     name + "`, `ip link delete " + name + "`), or choose another name."};
}

TunError failure(int error, const std::string& what) {
  return {error, what + reason(error) + "."};
}

std::string name_of(const ifreq& request) {
  return {request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ)};
}

// Turns on the most that the kernel takes. The queue has a virtio header.
TunFeatures negotiate(int fd, OffloadChoice choice) {
  TunFeatures out;
  out.vnet_header = true;
  out.header_size = kVnetHeaderSize;
  if (choice == OffloadChoice::off) {
    (void)::ioctl(fd, TUNSETOFFLOAD, 0UL);
    return out;
  }
  for (const OffloadStep& step : kOffloadSteps) {
    if (::ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(step.flags)) != 0) continue;
    out.tso = step.tso;
    out.tso_ecn = step.tso_ecn;
    out.uso = step.uso;
    break;
  }
  return out;
}

// POINTOPOINT|NOARP as TUN makes it, no MULTICAST, and no link-local address of the kernel's own making: what
// the kernel's WireGuard device looks like (formats.md 6.6). Returns an errno value.
int make_look_like_wireguard(const std::string& name) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  const auto link = netlink->link(name);
  if (!link) return link.error();
  if (const int error = netlink->set_multicast(link->index, false)) return error;
  const int error = netlink->set_addrgenmode_none(link->index);
  // Kernels without IPv6, or older than the setting (3.17), make no link-local address on a TUN device.
  const bool harmless = error == EOPNOTSUPP || error == EAFNOSUPPORT || error == EINVAL;
  return harmless ? 0 : error;
}

}  // namespace

std::expected<TunDevice, TunError> TunDevice::create(const std::string& name, OffloadChoice offload) {
  if (name.empty() || name.size() >= IFNAMSIZ || name.find('%') != std::string::npos) {
    return std::unexpected(TunError{
        EINVAL,
        "'" + name + "' cannot be the name of an interface: it must have 1 to 15 characters and no '%'."});
  }
  TunDevice out;
  out.fd_ = ::open(kTunPath, O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (out.fd_ < 0) return std::unexpected(no_device_node(errno));
  if (::if_nametoindex(name.c_str()) != 0) return std::unexpected(name_taken(EEXIST, name));

  unsigned supported = 0;
  const bool knows_vnet =
      ::ioctl(out.fd_, TUNGETFEATURES, &supported) == 0 && (supported & IFF_VNET_HDR) != 0;
  const bool vnet = knows_vnet && offload == OffloadChoice::automatic;
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  // IFF_TUN_EXCL closes the race between the look-up above and here: attaching to somebody's persistent
  // device of this name would be worse than failing.
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL | (vnet ? IFF_VNET_HDR : 0));
  if (::ioctl(out.fd_, TUNSETIFF, &request) != 0) {
    const int error = errno;
    if (error == ENOTTY) {
      return std::unexpected(TunError{error, std::string(kTunPath) +
                                                 " is not the TUN device (character device 10:200): " +
                                                 "remove it, and run `mknod " + kTunPath + " c 10 200`."});
    }
    if (error == EPERM || error == EACCES) return std::unexpected(no_permission(error, name));
    if (error == EBUSY || error == EEXIST) return std::unexpected(name_taken(error, name));
    return std::unexpected(failure(error, "the interface '" + name + "' cannot be made"));
  }
  out.name_ = name_of(request);
  if (vnet) out.features_ = negotiate(out.fd_, offload);
  if (const int error = make_look_like_wireguard(out.name_)) {
    return std::unexpected(failure(error, "the interface '" + name + "' cannot be set up"));
  }
  return out;
}

std::expected<TunDevice, TunError> TunDevice::adopt(int fd, OffloadChoice offload) {
  TunDevice out;
  out.fd_ = fd;
  ifreq request{};
  if (::ioctl(fd, TUNGETIFF, &request) != 0) {
    const int error = errno;
    return std::unexpected(failure(error, "descriptor " + std::to_string(fd) + " is no TUN device"));
  }
  const auto flags = static_cast<unsigned short>(request.ifr_flags);
  // IFF_NO_PI cannot be checked: Linux reports it set whatever the maker asked for.
  if ((flags & IFF_TUN) == 0) {
    return std::unexpected(TunError{
        EINVAL, "descriptor " + std::to_string(fd) + " is a TAP device; make it with IFF_TUN | IFF_NO_PI."});
  }
  out.name_ = name_of(request);
  const int status = ::fcntl(fd, F_GETFL);
  if (status < 0 || ::fcntl(fd, F_SETFL, status | O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    const int error = errno;
    return std::unexpected(
        failure(error, "descriptor " + std::to_string(fd) + " cannot be made non-blocking"));
  }
  if ((flags & IFF_VNET_HDR) == 0) return out;
  int size = kVnetHeaderSize;
  if (::ioctl(fd, TUNSETVNETHDRSZ, &size) != 0) {
    const int error = errno;
    return std::unexpected(failure(
        error, "the virtio header of descriptor " + std::to_string(fd) + " cannot be set to 10 bytes"));
  }
  out.features_ = negotiate(fd, offload);
  return out;
}

TunDevice::TunDevice(TunDevice&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), name_(std::move(other.name_)), features_(other.features_) {}

TunDevice& TunDevice::operator=(TunDevice&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(name_, other.name_);
  std::swap(features_, other.features_);
  return *this;
}

TunDevice::~TunDevice() {
  if (fd_ >= 0) ::close(fd_);
}

std::expected<std::string, int> TunDevice::current_name() const {
  ifreq request{};
  if (::ioctl(fd_, TUNGETIFF, &request) != 0) return std::unexpected(errno);
  return name_of(request);
}

std::expected<int, int> TunDevice::namespace_fd() const {
  const int fd = ::ioctl(fd_, TUNGETDEVNETNS);
  if (fd < 0) return std::unexpected(errno);
  return fd;
}

int TunDevice::set_carrier(bool on) const {
  int value = on ? 1 : 0;
  return ::ioctl(fd_, TUNSETCARRIER, &value) == 0 ? 0 : errno;
}

}  // namespace hats::tun
