// Raw sockets through the loop, on loopback: what arrives and how it looks, order, bounds, failures, removal.
#include <sys/socket.h>

#include <cstring>

#include "raw_support.hpp"

namespace hats::transport::test {
namespace {

constexpr uint8_t kGre = 47;
constexpr Tag kReceiver = 1, kSender = 2;

const char* loopback_text(Family family) {
  return family == Family::v4 ? "127.0.0.1" : "::1";
}
// Where the payload begins in a receive (RawReceived).
size_t header_size(Family family) {
  return family == Family::v4 ? 20 : 0;
}

class LoopRawTest : public LoopTest {
 protected:
  // A loop with a receiver and a sender; a loop runs once.
  void add(Family family, RawMode mode = RawMode::fragmentable) {
    LoopTest::TearDown();
    loop = make();
    auto made_receiver = open_raw_receiver(family, kGre);
    auto made_sender = open_raw_sender(family, kGre, mode);
    ASSERT_TRUE(made_receiver && made_sender);
    receiver = std::move(*made_receiver);
    sender = std::move(*made_sender);
    const int large = 8 << 20;
    setsockopt(receiver.get(), SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large);
    loop->add_raw(kReceiver, receiver.get());
    loop->add_raw(kSender, sender.get());
  }
  static RawSend to(const char* destination) {
    RawSend send{};
    send.to = address(destination);
    return send;
  }
  // A packet of a number alone, in its head.
  void send_numbered(uint32_t number, const char* destination) {
    RawSend send = to(destination);
    store_le32(send.head.data(), number);
    send.head_size = 4;
    send.cookie = number;
    loop->send_raw(kSender, std::move(send));
  }

  UniqueFd receiver, sender;
};
HATS_ALL_BACKENDS(LoopRawTest);

TEST_P(LoopRawTest, HeadAndDataArriveBehindOneAnotherInBothFamilies) {
  struct Shape {
    uint32_t head, data;
  };
  const std::vector<Shape> shapes{{0, 1},       {4, 0},        {4, 1},     {16, 1'400},
                                  {152, 9'000}, {152, 60'000}, {8, 65'500}};
  for (const Family family : {Family::v4, Family::v6}) {
    add(family);
    std::vector<std::vector<uint8_t>> sent, seen;
    Recorder handler(*loop);
    for (const bool leased : {false, true}) {
      for (const Shape& shape : shapes) {
        RawSend send = to(loopback_text(family));
        std::vector<uint8_t> whole = numbered(shape.data, shape.head + shape.data + 4);
        whole.resize(shape.head + shape.data);
        std::copy_n(whole.begin(), shape.head, send.head.begin());
        send.head_size = shape.head;
        send.size = shape.data;
        send.data = whole.data() + shape.head;
        if (leased) {
          send.slab = loop->arena().take();
          ASSERT_TRUE(send.slab);
          std::copy_n(send.data, send.size, send.slab.bytes().data());
          send.data = send.slab.bytes().data();
        }
        loop->send_raw(kSender, std::move(send));
        sent.push_back(std::move(whole));
      }
    }
    handler.raw = [&](Tag tag, std::span<RawReceived> received) {
      EXPECT_EQ(tag, kReceiver);
      for (const RawReceived& one : received) {
        EXPECT_GE(one.data - one.slab.bytes().data(), ptrdiff_t{kSlabHeadroom});
        seen.emplace_back(one.data + header_size(family), one.data + one.size);
      }
    };
    handler.raw_send_failed = [](Tag, const RawSend&, int error) { ADD_FAILURE() << std::strerror(error); };
    handler.done = [&] { return seen.size() == sent.size(); };
    handler.run();
    EXPECT_EQ(seen, sent);
  }
}

TEST_P(LoopRawTest, AReceiveSaysFromWhereToWhereAndHow) {
  ASSERT_TRUE(add_loopback_v6("fd00:77::2"));
  for (const Family family : {Family::v4, Family::v6}) {
    add(family);
    const char* source = family == Family::v4 ? "127.0.0.77" : "fd00:77::2";
    RawSend send = to(loopback_text(family));
    send.from.address = address(source);
    send.ttl = 17;
    send.ds = 0xb9;
    if (family == Family::v6) send.encapsulation_limit = 3;  // the kernel has taken it off again
    send.head_size = 4;
    store_le32(send.head.data(), 0x01020304);
    loop->send_raw(kSender, std::move(send));
    size_t seen = 0;
    Recorder handler(*loop);
    handler.raw = [&](Tag, std::span<RawReceived> received) {
      seen += received.size();
      const RawReceived& one = received[0];
      EXPECT_EQ(one.from, address(source));
      EXPECT_EQ(one.to.address, address(loopback_text(family)));
      EXPECT_EQ(one.to.interface_index, 1U);  // lo
      ASSERT_EQ(one.size, header_size(family) + 4);
      EXPECT_EQ(number_of(one.data + header_size(family)), 0x01020304U);
      if (family == Family::v4) {
        EXPECT_EQ(one.data[0], 0x45);
        EXPECT_EQ(one.data[1], 0xb9);
        EXPECT_EQ(one.data[8], 17);
      } else {
        EXPECT_EQ(one.ds, 0xb9);
        EXPECT_EQ(one.hop_limit, 17);
      }
    };
    handler.done = [&] { return seen != 0; };
    handler.run();
    EXPECT_EQ(seen, 1U);
  }
}

TEST_P(LoopRawTest, TheLargestPacketArrivesWholeAfterReassembly) {
  ASSERT_TRUE(ip("link set lo mtu 1500"));
  for (const Family family : {Family::v4, Family::v6}) {
    add(family);
    const uint32_t most = family == Family::v4 ? 65'515 : 65'535;  // of a payload
    const auto payload = numbered(7, most);
    const Injector injector(family);
    RawSend send = to(loopback_text(family));
    send.data = payload.data();
    send.size = most;
    loop->send_raw(kSender, std::move(send));
    std::vector<uint8_t> seen;
    Recorder handler(*loop);
    handler.raw = [&](Tag, std::span<RawReceived> received) {
      seen.assign(received[0].data + header_size(family), received[0].data + received[0].size);
    };
    handler.raw_send_failed = [](Tag, const RawSend&, int error) { ADD_FAILURE() << std::strerror(error); };
    handler.done = [&] { return !seen.empty(); };
    handler.run();
    EXPECT_EQ(seen, payload);
  }
  ASSERT_TRUE(ip("link set lo mtu 65536"));
}

TEST_P(LoopRawTest, AFloodArrivesInBatchesAndInOrder) {
  add(Family::v4);
  constexpr uint32_t kCount = 1'000;
  for (uint32_t i = 0; i < kCount; ++i) send_numbered(i, "127.0.0.1");
  uint32_t next = 0, calls = 0;
  Recorder handler(*loop);
  handler.raw = [&](Tag, std::span<RawReceived> received) {
    ++calls;
    EXPECT_LE(received.size(), 64U);
    for (const RawReceived& one : received) EXPECT_EQ(number_of(one.data + 20), next++);
  };
  handler.done = [&] { return next == kCount; };
  handler.run();
  EXPECT_LT(calls, kCount / 4);
  EXPECT_EQ(loop->counters().raw_receives, kCount);
  EXPECT_EQ(loop->counters().raw_sends, kCount);
}

}  // namespace
}  // namespace hats::transport::test
