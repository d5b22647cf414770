#include "core/wg/cookie.hpp"

#include <string_view>

#include "core/wg/constants.hpp"
#include "crypto/aead.hpp"

namespace hats::wg {
namespace {

crypto::Hash labelled_key(std::string_view label, const crypto::PublicKey& key) noexcept {
  const ByteView label_bytes{reinterpret_cast<const uint8_t*>(label.data()), label.size()};
  return crypto::hash({label_bytes, key.bytes});
}

constexpr std::string_view kLabelMac1 = "mac1----";
constexpr std::string_view kLabelCookie = "cookie--";

}  // namespace

void CookieChecker::set_identity(const crypto::PublicKey& self) noexcept {
  mac1_key_ = labelled_key(kLabelMac1, self);
  reply_key_ = crypto::SymmetricKey(labelled_key(kLabelCookie, self).view());
}

bool CookieChecker::check(ByteView key, ByteView covered, const Field<16>& mac) noexcept {
  return crypto::equal_constant_time(crypto::mac(key, {covered}), mac);
}

// WG 5.4.7: Cookie = MAC(secret, source address || source port), the secret renewed every two minutes.
Cookie CookieChecker::cookie_for(const Endpoint& from, BootTime now, crypto::Rng& rng) noexcept {
  if (!secret_since_ || now - *secret_since_ >= kCookieSecretMaxAge) {
    rng.fill(secret_.span());
    secret_since_ = now;
  }
  std::array<uint8_t, 2> port;
  store_be16(port.data(), from.port);
  return Cookie(crypto::mac(secret_.view(), {from.address.view(), port}));
}

CookieReplyMessage CookieChecker::create_reply(uint32_t receiver, const Field<16>& mac1, const Endpoint& from,
                                               BootTime now, crypto::Rng& rng) noexcept {
  CookieReplyMessage out;
  store_le32(out.receiver.data(), receiver);
  rng.fill(out.nonce);
  const Cookie cookie = cookie_for(from, now, rng);
  crypto::xaead_seal(out.encrypted_cookie, reply_key_, out.nonce, cookie.view(), mac1);
  return out;
}

CookieGenerator::CookieGenerator(const crypto::PublicKey& peer) noexcept
    : mac1_key_(labelled_key(kLabelMac1, peer)),
      reply_key_(crypto::SymmetricKey(labelled_key(kLabelCookie, peer).view())) {}

bool CookieGenerator::cookie_usable(BootTime now) noexcept {
  if (has_cookie_ && now - cookie_since_ >= kCookieSecretMaxAge - kCookieLatency) {
    has_cookie_ = false;
    cookie_.clear();
  }
  return has_cookie_;
}

bool CookieGenerator::consume_reply(const CookieReplyMessage& message, BootTime now) noexcept {
  if (!awaits_reply_) return false;
  Cookie cookie;
  if (!crypto::xaead_open(cookie.span(), reply_key_, message.nonce, message.encrypted_cookie, last_mac1_)) {
    return false;
  }
  cookie_ = std::move(cookie);
  cookie_since_ = now;
  has_cookie_ = true;
  awaits_reply_ = false;
  return true;
}

}  // namespace hats::wg
