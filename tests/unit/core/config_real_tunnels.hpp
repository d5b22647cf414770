// What Debian's Linux 6.1.192 and iproute2 6.1 answered to `ip tunnel add t1 WORDS` and `ip [-6] tunnel show
// t1`. `mtu` is the device's, with an underlay of 1500 bytes (0: another underlay).
#pragma once

#include <cstdint>

namespace hats::config::test {

struct RealTunnel {
  const char* words;
  const char* shown;
  uint32_t mtu;
};

inline constexpr RealTunnel kRealTunnels[] = {
    {"mode gre local 192.0.2.1 remote 192.0.2.2 ttl 255",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl 255", 1476},
    {"mode gre local 192.0.2.1 remote 192.0.2.2", "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit",
     1476},
    {"mode gre remote 192.0.2.2", "t1: gre/ip remote 192.0.2.2 local any ttl inherit", 1476},
    {"mode gre/ip local 192.0.2.1 remote 192.0.2.2 key 42",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit key 42", 1472},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 key 0",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit key 0", 1472},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 ikey 1 okey 4294967295",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit ikey 1 okey 4294967295", 1472},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 ikey 1.2.3.4",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit ikey 16909060", 1476},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 okey 7",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit okey 7", 1472},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 okey 0 ikey 0",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit key 0", 1472},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 csum seq",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit\n  Drop packets out of sequence.\n  Checksum "
     "in received packet is required.\n  Sequence packets on output.\n  Checksum output packets.",
     1468},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 iseq ocsum key 5",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit key 5\n  Drop packets out of sequence.\n  "
     "Checksum output packets.",
     1468},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 oseq icsum",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit\n  Checksum in received packet is required.\n  "
     "Sequence packets on output.",
     1472},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 nopmtudisc",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit nopmtudisc", 1476},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 tos inherit",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit tos inherit", 1476},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 tos 0x10",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit tos 0x10", 1476},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 tos EF ttl 64 key 3",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl 64 tos EF key 3", 1472},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 tos inherit/AF11 nopmtudisc",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit tos inherit/AF11 nopmtudisc", 1476},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 tos inherit/0x2",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit tos inherit/0x02", 1476},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 tos 0x11",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit tos inherit/0x10", 1476},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 tos 0x3",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit tos inherit/0x02", 1476},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 tos 0",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit", 1476},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 dev lo ttl 1",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 dev lo ttl 1", 0},
    {"mode gre local 192.0.2.1 remote 192.0.2.2 dev lo tos 4 nopmtudisc key 9 seq csum",
     "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 dev lo ttl inherit tos 0x04 nopmtudisc key 9\n  Drop "
     "packets out of sequence.\n  Checksum in received packet is required.\n  Sequence packets on output.\n  "
     "Checksum output packets.",
     0},
    {"mode sit local 192.0.2.1 remote 192.0.2.2 ttl 255",
     "t1: ipv6/ip remote 192.0.2.2 local 192.0.2.1 ttl 255 6rd-prefix 2002::/16", 1480},
    {"mode sit local 192.0.2.1 remote 192.0.2.2",
     "t1: ipv6/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit 6rd-prefix 2002::/16", 1480},
    {"mode sit remote 192.0.2.2 ttl 64 tos inherit dev lo",
     "t1: ipv6/ip remote 192.0.2.2 local any dev lo ttl 64 tos inherit 6rd-prefix 2002::/16", 0},
    {"mode sit local 192.0.2.1 remote 192.0.2.2 nopmtudisc tos b8",
     "t1: ipv6/ip remote 192.0.2.2 local 192.0.2.1 ttl inherit tos EF nopmtudisc 6rd-prefix 2002::/16", 1480},
    {"mode ipip local 192.0.2.1 remote 192.0.2.2 ttl 9", "t1: ip/ip remote 192.0.2.2 local 192.0.2.1 ttl 9",
     1480},
    {"mode ipip remote 192.0.2.2 nopmtudisc tos inherit",
     "t1: ip/ip remote 192.0.2.2 local any ttl inherit tos inherit nopmtudisc", 1480},
    {"mode ip6gre local 2001:db8::1 remote 2001:db8::2",
     "t1: gre/ipv6 remote 2001:db8::2 local 2001:db8::1 encaplimit 4 hoplimit 64 tclass 0x00 flowlabel "
     "0x00000 (flowinfo 0x00000000)",
     1448},
    {"mode ip6gre remote 2001:db8::2",
     "t1: gre/ipv6 remote 2001:db8::2 local :: encaplimit 4 hoplimit 64 tclass 0x00 flowlabel 0x00000 "
     "(flowinfo 0x00000000)",
     1448},
    {"mode gre/ipv6 local 2001:db8::1 remote 2001:db8::2 encaplimit none hoplimit 255 key 42",
     "t1: gre/ipv6 remote 2001:db8::2 local 2001:db8::1 encaplimit none hoplimit 255 tclass 0x00 flowlabel "
     "0x00000 (flowinfo 0x00000000) key 42",
     1452},
    {"mode ip6gre local 2001:db8::1 remote 2001:db8::2 encaplimit 0 hoplimit 0",
     "t1: gre/ipv6 remote 2001:db8::2 local 2001:db8::1 encaplimit 0 hoplimit inherit tclass 0x00 flowlabel "
     "0x00000 (flowinfo 0x00000000)",
     1448},
    {"mode ip6gre local 2001:db8::1 remote 2001:db8::2 tclass 0xb8 flowlabel 0x12345",
     "t1: gre/ipv6 remote 2001:db8::2 local 2001:db8::1 encaplimit 4 hoplimit 64 tclass 0xb8 flowlabel "
     "0x12345 (flowinfo 0x0b812345)",
     1448},
    {"mode ip6gre local 2001:db8::1 remote 2001:db8::2 tclass inherit flowlabel inherit dscp inherit",
     "t1: gre/ipv6 remote 2001:db8::2 local 2001:db8::1 encaplimit 4 hoplimit 64 tclass inherit flowlabel "
     "inherit (flowinfo 0x00000000) dscp inherit",
     1448},
    {"mode ip6gre local 2001:db8::1 remote 2001:db8::2 allow-localremote dev lo ikey 1 okey 2",
     "t1: gre/ipv6 remote 2001:db8::2 local 2001:db8::1 dev lo encaplimit 4 hoplimit 64 tclass 0x00 "
     "flowlabel 0x00000 (flowinfo 0x00000000) allow-localremote ikey 1 okey 2",
     0},
    {"mode ip6gre local 2001:db8::1 remote 2001:db8::2 seq csum dscp inherit allow-localremote",
     "t1: gre/ipv6 remote 2001:db8::2 local 2001:db8::1 encaplimit 4 hoplimit 64 tclass 0x00 flowlabel "
     "0x00000 (flowinfo 0x00000000) dscp inherit allow-localremote\n  Drop packets out of sequence.\n  "
     "Checksum in received packet is required.\n  Sequence packets on output.\n  Checksum output packets.",
     1440},
    {"mode ip6gre local 2001:db8::1 remote 2001:db8::2 tclass 3 oseq",
     "t1: gre/ipv6 remote 2001:db8::2 local 2001:db8::1 encaplimit 4 hoplimit 64 tclass 0x03 flowlabel "
     "0x00000 (flowinfo 0x00300000)\n  Sequence packets on output.",
     1444},
};

}  // namespace hats::config::test
