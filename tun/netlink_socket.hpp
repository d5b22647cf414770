// One rtnetlink request socket over libmnl: requests with an acknowledgement, and dumps that survive EINTR
// and NLM_F_DUMP_INTR. Private to this room.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <expected>
#include <functional>

#include "tun/link.hpp"

namespace hats::tun {

/// Bytes of a request: a header and a few attributes; the largest of ours is under 200.
inline constexpr size_t kRequestBytes = 1024;
/// Bytes of a receive. The kernel fills dump skbs up to 32 KiB when the reader offers that much.
inline constexpr size_t kReceiveBytes = 65'536;
/// How often a dump that changed while it was read is read anew before what there is is taken for it: tables
/// under constant change (a full BGP feed) never hold still.
inline constexpr int kDumpAttempts = 8;

/// A request under construction.
class Request {
 public:
  Request(uint16_t type, uint16_t flags) {
    header_ = mnl_nlmsg_put_header(buffer_.data());
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  /// The zeroed family header behind nlmsghdr (ifinfomsg, rtmsg, ...). Once, before attributes.
  template <typename T>
  T& family_header() {
    return *static_cast<T*>(mnl_nlmsg_put_extra_header(header_, sizeof(T)));
  }
  void put(uint16_t type, uint32_t value) { mnl_attr_put_u32(header_, type, value); }
  void put(uint16_t type, const IpAddress& value) {
    mnl_attr_put(header_, type, value.view().size(), value.view().data());
  }
  void put(uint16_t type, const std::string& value) { mnl_attr_put_strz(header_, type, value.c_str()); }
  [[nodiscard]] nlmsghdr* message() const { return header_; }

 private:
  alignas(nlmsghdr) std::array<char, kRequestBytes> buffer_{};
  nlmsghdr* header_ = nullptr;
};

class NetlinkSocket {
 public:
  static std::expected<NetlinkSocket, int> open();
  NetlinkSocket(NetlinkSocket&& other) noexcept;
  NetlinkSocket& operator=(NetlinkSocket&& other) noexcept;
  ~NetlinkSocket();

  using OnMessage = std::function<void(const nlmsghdr*)>;
  /// Sends with NLM_F_ACK and waits; messages before the acknowledgement go to `on_message`. 0 or an errno
  /// value.
  [[nodiscard]] int request(Request& request, const OnMessage& on_message = {});
  /// Sends with NLM_F_DUMP and gives each message to `on_message`; `restart` is called before each attempt
  /// after the first, to throw away what a torn dump gave. 0 or an errno value.
  [[nodiscard]] int dump(Request& request, const OnMessage& on_message, const std::function<void()>& restart);

 private:
  explicit NetlinkSocket(mnl_socket* socket);
  enum class End : uint8_t { acknowledged, done };
  // Reads until the end of the exchange; `torn`: the kernel marked the dump as inconsistent.
  int receive(uint32_t sequence, End end, const OnMessage& on_message, bool& torn);
  int send(Request& request);

  mnl_socket* socket_ = nullptr;
  uint32_t sequence_ = 0;
  std::vector<char> buffer_;
};

struct Netlink::Impl {
  explicit Impl(NetlinkSocket s) : socket(std::move(s)) {}
  NetlinkSocket socket;
};

[[nodiscard]] inline uint8_t af_of(Family family) {
  return family == Family::v4 ? AF_INET : family == Family::v6 ? AF_INET6 : AF_UNSPEC;
}
/// The address in an attribute; none if the attribute has not the size of the family's addresses.
[[nodiscard]] IpAddress address_of(uint8_t af, const nlattr* attribute);
/// A u32 attribute, or `otherwise` where it is absent or short.
[[nodiscard]] uint32_t u32_of(const nlattr* attribute, uint32_t otherwise);
/// Reads a link message.
[[nodiscard]] LinkState link_of(const nlmsghdr* message);

/// The attributes of a message or of a nest by type, those above `Max` left out.
template <size_t Max>
class Attributes {
 public:
  Attributes(const nlmsghdr* message, size_t family_header) {
    mnl_attr_parse(message, static_cast<unsigned>(family_header), &Attributes::store, this);
  }
  explicit Attributes(const nlattr* nest) { mnl_attr_parse_nested(nest, &Attributes::store, this); }
  const nlattr* operator[](size_t type) const { return type <= Max ? found_[type] : nullptr; }

 private:
  static int store(const nlattr* attribute, void* self) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type <= Max) static_cast<Attributes*>(self)->found_[type] = attribute;
    return MNL_CB_OK;
  }
  std::array<const nlattr*, Max + 1> found_{};
};

}  // namespace hats::tun
