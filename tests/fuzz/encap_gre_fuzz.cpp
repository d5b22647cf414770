// GRE over IPv4 and IPv6, decapsulating nobody's bytes under any options: what comes out lies within what
// came in, is an IP packet of the length that it states, and can be cut as its offload says.
#include "tests/fuzz/encap_receiver.hpp"

namespace hats::encap::fuzz {
namespace {

TunnelConfig config_of(Input& input) {
  const uint8_t bits = input.byte();
  TunnelConfig config;
  const bool v6 = (bits & 1) != 0;
  config.local = v6 ? testing::kOurs6 : testing::kOurs;
  config.remote = v6 ? testing::kTheirs6 : testing::kTheirs;
  if ((bits & 2) != 0) config.in_key = input.byte() % 2;
  config.in_checksum = (bits & 4) != 0;
  config.in_sequence = (bits & 8) != 0;
  config.dscp_inherit = (bits & 16) != 0;
  if ((bits & 32) != 0) config.keepalive = {10, 3};
  return config;
}

// A receive: raw bytes, or a packet that has what the tunnel demands, with the bytes inside.
void one(Receiver& receiver, Input& input, const TunnelConfig& config) {
  const uint8_t choice = input.byte();
  const uint8_t inner_choice = input.byte();
  const uint8_t ds = input.byte();
  const ByteView rest = input.bytes(input.u16());
  Bytes bytes(rest.begin(), rest.end());
  const bool v6 = config.outer() == Family::v6;
  Received like;
  like.ds = ds;
  if (v6) {
    like.family = Family::v6;
    like.from = config.remote;
    like.to = config.local;
  }
  if ((choice & 1) != 0) {
    const bool inner_v4 = (choice & 2) != 0;
    if ((choice & 4) != 0) mend_inner(bytes, inner_v4, inner_choice);
    testing::Gre gre{.protocol = inner_v4 ? 0x0800u : 0x86ddu};
    if ((choice & 8) != 0) gre.protocol = 0;
    gre.checksum = config.in_checksum || (choice & 16) != 0;
    gre.key = config.in_key;
    if (config.in_sequence || (choice & 32) != 0) gre.sequence = input.byte();
    bytes = gre.packet(bytes);
    if ((choice & 64) != 0 && !bytes.empty()) bytes[input.u16() % bytes.size()] ^= input.byte();
  }
  if (!v6 && (choice & 128) == 0) {
    if (bytes.size() > 60'000) bytes.resize(60'000);
    bytes = testing::OuterV4{.tos = ds}.packet(bytes);
  }
  receiver.receive(bytes, like);
}

}  // namespace
}  // namespace hats::encap::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hats::encap;
  hats::fuzz::Input input(data, size);
  const TunnelConfig config = fuzz::config_of(input);
  fuzz::Receiver receiver(config, input.u16());
  for (size_t i = 0; i < fuzz::kMostReceives && !input.empty(); ++i) fuzz::one(receiver, input, config);
  return 0;
}
