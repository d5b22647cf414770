#include "tools/hatsd-user/control/uapi_server.hpp"

#include <net/if.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <cstddef>
#include <cstring>

#include "crypto/secret.hpp"

namespace hats::app {

namespace {

constexpr size_t kReadBytes = 65'536;

uint32_t zone_index(std::string_view zone) {
  return if_nametoindex(std::string(zone).c_str());
}

std::string zone_name(uint32_t index) {
  std::array<char, IF_NAMESIZE> name{};
  return if_indextoname(index, name.data()) != nullptr ? name.data() : std::to_string(index);
}

void wipe_text(std::string& text) {
  crypto::wipe({reinterpret_cast<uint8_t*>(text.data()), text.size()});
  text.clear();
}

}  // namespace

/// One connection: several operations, each "get=1" or "set=1", its lines, and a blank line. Holds keys in
/// its buffers, and wipes them.
class UapiServer::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Protocol::socket socket, std::shared_ptr<UapiTarget*> target)
      : socket_(std::move(socket)), target_(std::move(target)) {}
  ~Session() {
    wipe_text(request_);
    wipe_text(reply_);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void read() {
    if (handle_complete()) return;
    const size_t had = request_.size();
    grow(had + kReadBytes);
    socket_.async_read_some(boost::asio::buffer(request_.data() + had, kReadBytes),
                            [self = shared_from_this(), had](boost::system::error_code error, size_t count) {
                              self->request_.resize(had + count);
                              if (error || self->request_.size() > kMaxUapiRequest) return;  // closes
                              self->read();
                            });
  }

 private:
  /// std::string would leave keys behind in memory that it gives back when it grows.
  void grow(size_t size) {
    if (size > request_.capacity()) {
      std::string bigger;
      bigger.reserve(2 * size);
      bigger = std::string_view(request_);
      wipe_text(request_);
      request_ = std::move(bigger);
    }
    request_.resize(size);
  }

  /// Answers one complete operation, if there is one; true if the reading goes on by itself (or never).
  bool handle_complete() {
    if (*target_ == nullptr) return true;
    const size_t line_end = request_.find('\n');
    if (line_end == std::string::npos) return false;
    const std::string_view operation(request_.data(), line_end);
    if (operation != "get=1" && operation != "set=1") return true;  // as wireguard-go: closed without a reply
    // The search goes on where it stopped, so that a long request costs no more than its length.
    const size_t blank = request_.find("\n\n", searched_ > 0 ? searched_ - 1 : 0);
    if (blank == std::string::npos) {
      searched_ = request_.size();
      return false;
    }
    searched_ = 0;
    int error = 0;
    if (operation == "get=1") {
      reply_ = config::format_uapi_get((*target_)->uapi_get(), zone_name);
      reply_ += "errno=0\n\n";
    } else {
      const size_t body = line_end + 1;
      auto set = config::parse_uapi_set(
          body <= blank ? std::string_view(request_).substr(body, blank + 1 - body) : std::string_view(),
          zone_index);
      error = (*target_)->uapi_set(std::move(set.update));
      if (error == 0) error = set.error;
      // Negative: wg(8) takes the errno of a `set` as it is, with its sign turned (peers.md 4).
      reply_ = "errno=" + std::to_string(-error) + "\n\n";
    }
    forget(blank + 2);
    boost::asio::async_write(socket_, boost::asio::buffer(reply_),
                             [self = shared_from_this(), error](boost::system::error_code failed, size_t) {
                               wipe_text(self->reply_);
                               // After a fault the rest of the stream is garbage.
                               if (!failed && error == 0) self->read();
                             });
    return true;
  }

  void forget(size_t count) {
    const size_t rest = request_.size() - count;
    std::memmove(request_.data(), request_.data() + count, rest);
    crypto::wipe({reinterpret_cast<uint8_t*>(request_.data()) + rest, count});
    request_.resize(rest);
  }

  Protocol::socket socket_;
  std::shared_ptr<UapiTarget*> target_;
  std::string request_, reply_;
  size_t searched_ = 0;
};

UapiServer::UapiServer(boost::asio::io_context& io, UapiTarget& target)
    : io_(io), target_(std::make_shared<UapiTarget*>(&target)), acceptor_(io) {}

UapiServer::~UapiServer() {
  *target_ = nullptr;
  watch_.reset();
  if (!file_.path.empty()) file_.remove();
}

AppResult<std::unique_ptr<UapiServer>> UapiServer::open(boost::asio::io_context& io,
                                                        const std::string& interface, UapiTarget& target,
                                                        Removed removed) {
  auto socket = listen_at(std::string(kUapiDirectory) + "/" + interface + ".sock", 0755);
  if (!socket) return std::unexpected(socket.error());
  std::unique_ptr<UapiServer> server(new UapiServer(io, target));
  if (auto listening = server->listen(std::move(*socket), std::move(removed)); !listening) {
    return std::unexpected(listening.error());
  }
  return server;
}

AppResult<std::unique_ptr<UapiServer>> UapiServer::adopt(boost::asio::io_context& io, int fd,
                                                         UapiTarget& target, Removed removed) {
  std::unique_ptr<UapiServer> server(new UapiServer(io, target));
  int listening = 0, domain = 0;
  socklen_t size = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX ||
      getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) {
    return fail("WG_UAPI_FD: descriptor " + std::to_string(fd) + " is not a Unix socket");
  }
  if (listening == 0) {
    server->start_session(Protocol::socket(io, Protocol(), fd));
    return server;
  }
  ListeningSocket socket;
  socket.fd = transport::UniqueFd(fd);
  sockaddr_un address{};
  size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
      size > offsetof(sockaddr_un, sun_path)) {
    if (const auto file = SocketFile::at(address.sun_path)) socket.file = *file;
  }
  if (auto done = server->listen(std::move(socket), std::move(removed)); !done)
    return std::unexpected(done.error());
  return server;
}

AppResult<void> UapiServer::listen(ListeningSocket socket, Removed removed) {
  file_ = socket.file;
  acceptor_.assign(Protocol(), socket.fd.release());
  if (!file_.path.empty()) {
    auto watch = FileWatch::start(io_, file_, std::move(removed));
    if (!watch) return fail(errno_text("cannot watch " + file_.path, watch.error()));
    watch_ = std::move(*watch);
  }
  accept();
  return {};
}

void UapiServer::accept() {
  acceptor_.async_accept([this](boost::system::error_code error, Protocol::socket socket) {
    if (error == boost::asio::error::operation_aborted) return;  // destroyed
    if (!error) start_session(std::move(socket));
    accept();
  });
}

void UapiServer::start_session(Protocol::socket socket) {
  std::make_shared<Session>(std::move(socket), target_)->read();
}

}  // namespace hats::app
