// SIT and IPIP, decapsulating nobody's bytes: as encap_gre_fuzz.cpp.
#include "tests/fuzz/encap_receiver.hpp"

namespace hats::encap::fuzz {
namespace {

void one(Receiver& receiver, Input& input, const TunnelConfig& config) {
  const uint8_t choice = input.byte();
  const uint8_t inner_choice = input.byte();
  const uint8_t ds = input.byte();
  const ByteView rest = input.bytes(input.u16());
  Bytes bytes(rest.begin(), rest.end());
  if ((choice & 1) != 0) mend_inner(bytes, (choice & 2) != 0, inner_choice);
  if ((choice & 4) == 0) {
    if (bytes.size() > 60'000) bytes.resize(60'000);
    bytes = testing::OuterV4{.protocol = protocol_of(config.kind), .tos = ds}.packet(bytes);
  }
  if ((choice & 8) != 0 && !bytes.empty()) bytes[input.u16() % bytes.size()] ^= input.byte();
  Received like;
  like.kind = config.kind;
  receiver.receive(bytes, like);
}

}  // namespace
}  // namespace hats::encap::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hats::encap;
  hats::fuzz::Input input(data, size);
  TunnelConfig config;
  config.kind = input.byte() % 2 == 0 ? Kind::sit : Kind::ipip;
  config.local = testing::kOurs;
  config.remote = testing::kTheirs;
  fuzz::Receiver receiver(config, input.u16());
  for (size_t i = 0; i < fuzz::kMostReceives && !input.empty(); ++i) fuzz::one(receiver, input, config);
  return 0;
}
