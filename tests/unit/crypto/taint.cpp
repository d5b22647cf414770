// Runs our code under valgrind with every secret marked undefined: memcheck then reports each branch and each
// address that depends on one. `taint clean` must draw no report; `taint leaky-...` runs a function that does
// leak, and must draw one, which proves that the method sees it. taint.sh runs all of it.
//
// What leaves as public is marked defined again, where it becomes public: public keys, ciphertext, verdicts.

#include <valgrind/memcheck.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "crypto/aead_backends.hpp"
#include "crypto/blake2s.hpp"
#include "crypto/x25519.hpp"

namespace {

using namespace hats;
using namespace hats::crypto;

void make_secret(ByteSpan bytes) {
  VALGRIND_MAKE_MEM_UNDEFINED(bytes.data(), bytes.size());
}

void make_public(ByteView bytes) {
  VALGRIND_MAKE_MEM_DEFINED(bytes.data(), bytes.size());
}

bool made_public(bool verdict) {
  VALGRIND_MAKE_MEM_DEFINED(&verdict, sizeof verdict);
  return verdict;
}

/// Bytes that follow no pattern a parser could stumble over; their values do not matter here.
void fill(ByteSpan bytes) {
  uint8_t value = 17;
  for (uint8_t& byte : bytes) byte = value = static_cast<uint8_t>(value * 5 + 3);
}

template <typename Key>
Key secret_key() {
  Key key;
  fill(key.span());
  make_secret(key.span());
  return key;
}

class SecretRng final : public Rng {
 public:
  void fill(ByteSpan out) noexcept override {
    ::fill(out);
    make_secret(out);
  }
};

int failures = 0;

void expect(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "taint: %s\n", what);
  ++failures;
}

void texts() {
  std::array<uint8_t, kKeySize> bytes;
  fill(bytes);
  const std::array<uint8_t, kKeySize> plain = bytes;
  make_secret(bytes);
  std::string base64 = key_to_base64(bytes);
  std::string hex = key_to_hex(bytes);
  // Both texts are still undefined here, but for the equals sign, which says nothing of the key.
  make_public({reinterpret_cast<const uint8_t*>(&base64.back()), 1});
  PrivateKey key;
  bool ok = key_from_base64(base64, key.span());
  expect(made_public(ok), "base64 was refused");
  ok = key_from_hex(hex, key.span());
  expect(made_public(ok), "hex was refused");
  make_public(key.view());
  expect(std::memcmp(key.view().data(), plain.data(), kKeySize) == 0, "the text forms do not round trip");

  // A bad digit among secret ones: which one it was, and that there was one, must not show before the
  // verdict.
  base64[7] = '!';
  hex[7] = 'g';
  expect(!made_public(key_from_base64(base64, key.span())), "bad base64 was taken");
  expect(!made_public(key_from_hex(hex, key.span())), "bad hex was taken");
}

void comparisons() {
  const auto a = secret_key<SymmetricKey>();
  const auto b = secret_key<SymmetricKey>();
  expect(made_public(a.equals(b)), "equal keys differ");
  expect(!made_public(a.is_zero()), "a key is zero");
  std::array<uint8_t, kTagSize> tag;
  fill(tag);
  make_secret(tag);
  expect(made_public(equal_constant_time(tag, ByteView(a.view()).first(kTagSize))), "equal tags differ");
  keep_if(a.equals(b), tag);
}

void curve() {
  SecretRng rng;
  PrivateKey key = generate_private_key(rng);
  clamp(key);
  PublicKey point = public_key_of(key);
  make_public(point.bytes);
  Secret<kKeySize> shared;
  expect(made_public(x25519(shared, key, point)), "a good point was refused");
  point = {};
  expect(!made_public(x25519(shared, key, point)), "a low-order point was taken");
}

void hashes() {
  const auto key = secret_key<SymmetricKey>();
  std::array<uint8_t, 148> input;
  fill(input);
  make_secret(input);
  const Hash digest = hash({key.view(), input});
  const Mac code = mac(key.view(), {input, digest.view()});
  Hash t1 = hmac(digest.view(), {code});
  Hash t2;
  Hash t3;
  kdf1(t1, t1.view(), input);
  kdf2(t1, t2, t1.view(), input);
  kdf3(t1, t2, t3, t1.view(), {});
  const Hash of_long_key = hmac(input, {t3.view()});
  expect(!made_public(of_long_key.is_zero()), "a hash is zero");
}

void one_shots() {
  const auto key = secret_key<SymmetricKey>();
  std::array<uint8_t, 24> nonce{};
  std::array<uint8_t, 64> ad;
  std::array<uint8_t, kKeySize> plain;
  std::array<uint8_t, kKeySize + kTagSize> sealed;
  fill(ad);
  fill(plain);
  make_secret(plain);

  aead_seal(sealed, key, 1, plain, ad);
  make_public(sealed);
  expect(made_public(aead_open(plain, key, 1, sealed, ad)), "a sealed text does not open");
  sealed[0] ^= 1;
  expect(!made_public(aead_open(plain, key, 1, sealed, ad)), "a changed text opens");

  xaead_seal(sealed, key, nonce, plain, ad);
  make_public(sealed);
  expect(made_public(xaead_open(plain, key, nonce, sealed, ad)), "a sealed text does not open (XChaCha)");
  sealed[0] ^= 1;
  expect(!made_public(xaead_open(plain, key, nonce, sealed, ad)), "a changed text opens (XChaCha)");
}

/// A batch of four, of which the second arrives changed. The verdicts become public in wipe_rejected(), the
/// only function of ours that taint.supp names.
void batch(Aead& aead) {
  constexpr size_t kCount = 4;
  constexpr uint32_t kSizes[kCount] = {0, 60, 1420, 333};
  const auto key = secret_key<SymmetricKey>();
  static std::array<std::array<uint8_t, 2048>, kCount> packets;
  std::array<uint8_t, 40> head;
  fill(head);
  std::array<SealJob, kCount> seals;
  for (size_t i = 0; i < kCount; ++i) {
    fill(packets[i]);
    make_secret(ByteSpan(packets[i]).first(kSizes[i]));
    seals[i] = {.counter = i, .in = packets[i].data(), .size = kSizes[i], .out = packets[i].data()};
  }
  seals[1].head = head.data();
  seals[1].head_size = head.size();
  aead.seal(key, seals);

  std::array<OpenJob, kCount> opens;
  for (size_t i = 0; i < kCount; ++i) {
    const uint32_t size = kSizes[i] + static_cast<uint32_t>(kTagSize);
    make_public(ByteView(packets[i]).first(size));
    opens[i] = {.counter = i, .data = packets[i].data(), .size = size};
  }
  packets[1][50] ^= 1;
  aead.open(key, opens);
  for (size_t i = 0; i < kCount; ++i) expect(made_public(opens[i].ok) == (i != 1), "a wrong verdict");
}

void clean() {
  texts();
  comparisons();
  curve();
  hashes();
  one_shots();
  for (const auto& aead : make_all_aeads()) {
    std::printf("taint: batch AEAD: %s\n", std::string(aead->name()).c_str());
    batch(*aead);
  }
}

volatile unsigned sink;

[[gnu::noinline]] void leak_by_branch(ByteView secret) {
  if (secret[3] > 100) sink = 1;
}

[[gnu::noinline]] void leak_by_index(ByteView secret) {
  static constexpr unsigned char kTable[257] = "a table as a base64 encoder may have one";
  sink = kTable[secret[3]];
}

[[gnu::noinline]] void leak_by_early_end(ByteView a, ByteView b) {
  unsigned same = 0;
  while (same < a.size() && a[same] == b[same]) same = same + 1;
  sink = same;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 2 ? argv[1] : "";
  if (!initialise()) return 1;
  const auto key = secret_key<SymmetricKey>();
  if (mode == "clean") {
    clean();
  } else if (mode == "leaky-branch") {
    leak_by_branch(key.view());
  } else if (mode == "leaky-index") {
    leak_by_index(key.view());
  } else if (mode == "leaky-compare") {
    leak_by_early_end(key.view(), secret_key<SymmetricKey>().view());
  } else {
    std::fputs("usage: crypto_taint clean|leaky-branch|leaky-index|leaky-compare\n", stderr);
    return 2;
  }
  return failures == 0 ? 0 : 1;
}
