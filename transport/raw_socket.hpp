// Raw IP sockets of the unencrypted tunnels (DESIGN.md 4, "Raw receive"; formats.md 5.5). All are
// non-blocking and close-on-exec. Making one needs CAP_NET_RAW in the user namespace of the network
// namespace: they are opened before it is dropped, or it is kept. Errors are errnos: EPERM without
// CAP_NET_RAW, EAFNOSUPPORT on a host without IPv6, EMFILE, ENFILE, ENOBUFS, ENOMEM.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "core/base/address.hpp"
#include "transport/socket.hpp"

namespace hats::transport {

/// How the packets of a sending socket leave. A socket option: one sender per mode.
enum class RawMode : uint8_t {
  fragmentable,     // DF clear; the kernel fragments to the path MTU that it believes in. IPv6: likewise
  dont_fragment,    // DF set; refused (EMSGSIZE) above the device's MTU alone: what the kernel has learned of
                    // the path, or a route's mtu, does not count, because ours are the senders of ICMP
                    // errors. IPv6: above the device's MTU not refused, but fragmented
  header_included,  // the bytes begin with the IPv4 header, DF and all; never fragmented. IPv4 only (EINVAL)
};

/// Remotes that a filter lists at the most; with more, the receiver's owner sorts out strangers alone.
inline constexpr size_t kMaxFilteredRemotes = 128;

/// Receives all packets of IP protocol `protocol` (1..254) in this network namespace, merged by GRO where the
/// kernel does that: for Loop::add_raw. One per family and protocol; never send on it.
std::expected<UniqueFd, int> open_raw_receiver(Family family, uint8_t protocol);

/// Sends packets of `protocol` (without meaning in mode header_included): for Loop::add_raw. It takes no part
/// in the delivery of its protocol, and so costs a received packet nothing and keeps nobody silent.
std::expected<UniqueFd, int> open_raw_sender(Family family, uint8_t protocol, RawMode mode);

/// A socket that takes part in the delivery of `protocol` and keeps no packet. Over IPv6 it also makes the
/// kernel learn of "packet too big" about packets of that protocol (over IPv4 any raw socket does), without
/// which a sender of mode fragmentable makes fragments for its own link only. While it is open the kernel
/// answers no packet of that protocol with "protocol unreachable" (ICMPv6: "unrecognized next header"), not
/// even when a receiver's buffer is full. (Where the kernel has a handler of its own for the protocol, as
/// with the modules gre and sit, that one still answers.)
std::expected<UniqueFd, int> open_silencer(Family family, uint8_t protocol);

/// Lets only packets from `remotes` into a receiver of this family; addresses of the other family are passed
/// over. None: nothing comes in. More than kMaxFilteredRemotes different ones, or more than the kernel's
/// limit for filters (net.core.optmem_max) has room for: everything comes in. May be called at any time. 0 or
/// errno.
[[nodiscard]] int set_remotes_filter(int fd, Family family, std::span<const IpAddress> remotes);

/// Packets that a receiver's full buffer has lost since it was opened, modulo 2^32; nullopt before
/// Linux 4.12. (What its filter keeps out the kernel counts nowhere.)
[[nodiscard]] std::optional<uint32_t> count_overflow(int fd);

/// Receives ICMP errors, and nothing else of ICMP: IPv4 destination unreachable, time exceeded, parameter
/// problem; IPv6 also packet too big (RFC 792, RFC 4443). (The kernel's filter for IPv4 knows the types up to
/// 31; what is above, deprecated or for experiments, comes too.) For Loop::add_raw; never send on it.
std::expected<UniqueFd, int> open_icmp_listener(Family family);

}  // namespace hats::transport
