// Every message parser: types, MACs, handshake, cookie reply. Bytes from nowhere are refused by all; the same
// bytes with the MACs (and, for the handshake, the keys) made right go as deep as each can be taken.
#include "core/wg/cookie.hpp"
#include "core/wg/handshake.hpp"
#include "core/wg/messages.hpp"
#include "crypto/x25519.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/support/seeded_rng.hpp"

namespace hats::wg {
namespace {

// formats.md 6.1, declared here again.
constexpr std::array<size_t, 5> kExactSizes = {0, 148, 92, 64, 0};
constexpr size_t kSmallestData = 32;

/// Two sides that know each other, made once.
struct Sides {
  test::SeededRng rng{1};
  StaticIdentity us, them;
  RemoteIdentity them_to_us, us_to_them;
  CookieChecker checker;
  Endpoint from{IpAddress::parse("192.0.2.1").value(), 1, 0};
  BootTime now{seconds(1000).ns};

  Sides() {
    for (StaticIdentity* side : {&us, &them}) {
      side->private_key = crypto::generate_private_key(rng);
      side->public_key = crypto::public_key_of(side->private_key);
    }
    them_to_us.public_key = them.public_key;
    us_to_them.public_key = us.public_key;
    them_to_us.precompute(us);
    us_to_them.precompute(them);
    checker.set_identity(us.public_key);
  }
};

void check_type(ByteView datagram) {
  const auto type = classify(datagram);
  const bool reserved_clear =
      datagram.size() >= 4 && datagram[1] == 0 && datagram[2] == 0 && datagram[3] == 0;
  bool expected = reserved_clear && datagram[0] >= 1 && datagram[0] <= 4;
  if (expected) {
    expected =
        datagram[0] == 4 ? datagram.size() >= kSmallestData : datagram.size() == kExactSizes[datagram[0]];
  }
  HATS_FUZZ_CHECK(type.has_value() == expected);
  HATS_FUZZ_CHECK(!type || static_cast<uint8_t>(*type) == datagram[0]);
}

/// A message whose bytes are the input's, with the right type.
template <typename Message>
Message message_from(ByteView bytes) {
  Message out;
  Message typed;
  std::copy_n(bytes.begin(), std::min(bytes.size(), sizeof out), reinterpret_cast<uint8_t*>(&out));
  out.type = typed.type;
  return out;
}

/// Changes `message` as the input says; true if anything that is authenticated before mac1 has changed.
template <typename Message>
bool mutate(Message& message, fuzz::Input& input) {
  const Message before = message;
  auto* bytes = reinterpret_cast<uint8_t*>(&message);
  for (uint32_t changes = input.below(4); changes != 0; --changes) {
    bytes[4 + input.below(sizeof message - 4)] ^= input.byte();
  }
  return std::memcmp(&before, &message, bytes_before_mac1(message).size()) != 0;
}

void check_initiation(Sides& sides, fuzz::Input& input) {
  // Nobody's bytes.
  const ByteView bytes = input.bytes(sizeof(InitiationMessage));
  const auto wild = message_from<InitiationMessage>(bytes);
  HATS_FUZZ_CHECK(!sides.checker.mac1_valid(wild));
  HATS_FUZZ_CHECK(!sides.checker.mac2_valid(wild, sides.from, sides.now, sides.rng));
  HATS_FUZZ_CHECK(!begin_consume_initiation(sides.us, wild));
  // A true one, changed on the way.
  InitiationMessage message;
  const Tai64n timestamp = Tai64n::from({1'700'000'000, 5});
  const auto pending = create_initiation(sides.them, sides.us_to_them, timestamp, 7, sides.rng, message);
  HATS_FUZZ_CHECK(pending.has_value());
  CookieGenerator generator(sides.us.public_key);
  generator.add_macs(message, sides.now);
  HATS_FUZZ_CHECK(sides.checker.mac1_valid(message));
  const InitiationMessage sent = message;
  const bool changed = mutate(message, input);
  HATS_FUZZ_CHECK(sides.checker.mac1_valid(message) == (!changed && message.macs.mac1 == sent.macs.mac1));
  auto consumed = begin_consume_initiation(sides.us, message);
  const bool believed = consumed && finish_consume_initiation(sides.them_to_us, *consumed);
  // The sender index is not covered by the handshake, only by mac1.
  const bool noise_same = message.ephemeral == sent.ephemeral &&
                          message.encrypted_static == sent.encrypted_static &&
                          message.encrypted_timestamp == sent.encrypted_timestamp;
  HATS_FUZZ_CHECK(noise_same ? believed : !believed);
  HATS_FUZZ_CHECK(!believed || (consumed->remote_static == sides.them.public_key &&
                                !(consumed->timestamp < timestamp) && !(timestamp < consumed->timestamp)));
}

void check_response(Sides& sides, fuzz::Input& input) {
  InitiationMessage initiation;
  auto pending = create_initiation(sides.us, sides.them_to_us, Tai64n::from({1'700'000'000, 0}), 7, sides.rng,
                                   initiation);
  HATS_FUZZ_CHECK(pending.has_value());
  const auto wild = message_from<ResponseMessage>(input.bytes(sizeof(ResponseMessage)));
  HATS_FUZZ_CHECK(!sides.checker.mac1_valid(wild));
  HATS_FUZZ_CHECK(!consume_response(sides.us, sides.them_to_us, *pending, wild));
  auto consumed = begin_consume_initiation(sides.them, initiation);
  HATS_FUZZ_CHECK(consumed && finish_consume_initiation(sides.us_to_them, *consumed));
  ResponseMessage message;
  const auto theirs = create_response(sides.us_to_them, *consumed, 9, sides.rng, message);
  HATS_FUZZ_CHECK(theirs.has_value());
  const ResponseMessage sent = message;
  (void)mutate(message, input);
  const auto ours = consume_response(sides.us, sides.them_to_us, *pending, message);
  const bool noise_same =
      message.ephemeral == sent.ephemeral && message.encrypted_nothing == sent.encrypted_nothing;
  HATS_FUZZ_CHECK(ours.has_value() == noise_same);
  HATS_FUZZ_CHECK(!ours || (ours->send.equals(theirs->receive) && ours->receive.equals(theirs->send)));
}

void check_cookie_reply(Sides& sides, fuzz::Input& input) {
  CookieGenerator generator(sides.us.public_key);
  const auto wild = message_from<CookieReplyMessage>(input.bytes(sizeof(CookieReplyMessage)));
  HATS_FUZZ_CHECK(!generator.consume_reply(wild, sides.now));
  InitiationMessage message;
  generator.add_macs(message, sides.now);
  HATS_FUZZ_CHECK(!generator.consume_reply(wild, sides.now));
  CookieReplyMessage reply =
      sides.checker.create_reply(7, message.macs.mac1, sides.from, sides.now, sides.rng);
  const CookieReplyMessage sent = reply;
  (void)mutate(reply, input);
  const bool same = reply.nonce == sent.nonce && reply.encrypted_cookie == sent.encrypted_cookie;
  HATS_FUZZ_CHECK(generator.consume_reply(reply, sides.now) == same);
  generator.add_macs(message, sides.now);
  HATS_FUZZ_CHECK(sides.checker.mac2_valid(message, sides.from, sides.now, sides.rng) == same);
}

}  // namespace
}  // namespace hats::wg

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hats;
  static wg::Sides sides;
  sides.rng = test::SeededRng(1);  // the input is the whole cause
  wg::check_type({data, size});
  fuzz::Input input(data, size);
  switch (input.byte() & 3) {
    case 1:
      wg::check_initiation(sides, input);
      break;
    case 2:
      wg::check_response(sides, input);
      break;
    case 3:
      wg::check_cookie_reply(sides, input);
      break;
    default:
      break;
  }
  return 0;
}
