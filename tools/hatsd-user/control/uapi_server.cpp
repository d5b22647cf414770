#include "tools/hatsd-user/control/uapi_server.hpp"

#include <net/if.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstddef>
#include <cstring>

#include "core/config/uapi_reader.hpp"
#include "crypto/secret.hpp"

namespace hats::app {

namespace {

constexpr size_t kReadBytes = 65'536;
constexpr std::chrono::milliseconds kAcceptPause{100};

uint32_t zone_index(std::string_view zone) {
  return if_nametoindex(std::string(zone).c_str());
}

std::string zone_name(uint32_t index) {
  std::array<char, IF_NAMESIZE> name{};
  return if_indextoname(index, name.data()) != nullptr ? name.data() : std::to_string(index);
}

/// A number that getsockopt tells of a socket; -1 if it is none.
int option_of(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

void wipe_text(std::string& text) {
  crypto::wipe({reinterpret_cast<uint8_t*>(text.data()), text.size()});
  text.clear();
}

}  // namespace

/// One connection: several operations, answered in order (core/config/uapi_reader.hpp).
class UapiServer::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Protocol::socket socket, std::shared_ptr<UapiTarget*> target)
      : socket_(std::move(socket)), target_(std::move(target)) {}
  ~Session() {
    wipe_text(reply_);
    crypto::wipe(buffer_);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void read() {
    socket_.async_read_some(boost::asio::buffer(buffer_), [self = shared_from_this()](
                                                              boost::system::error_code error, size_t count) {
      if (error) return;  // closes
      self->reader_.feed({reinterpret_cast<const char*>(self->buffer_.data()), count});
      self->answer_next();
    });
  }

 private:
  void answer_next() {
    using Kind = config::UapiOperation::Kind;
    const auto operation = reader_.next();
    if (!operation) return read();
    if (operation->kind == Kind::close || *target_ == nullptr) return;
    int error = operation->error;
    if (error == 0 && operation->kind == Kind::get) {
      reply_ = config::format_uapi_get((*target_)->uapi_get(), zone_name);
    } else if (error == 0) {
      auto set = config::parse_uapi_set(operation->body, zone_index);
      error = (*target_)->uapi_set(std::move(set.update));
      if (error == 0) error = set.error;
    }
    reply_ += config::format_uapi_errno(operation->kind, error);
    boost::asio::async_write(socket_, boost::asio::buffer(reply_),
                             [self = shared_from_this(), error](boost::system::error_code failed, size_t) {
                               wipe_text(self->reply_);
                               // After a fault the rest of the stream is garbage.
                               if (!failed && error == 0) self->answer_next();
                             });
  }

  Protocol::socket socket_;
  std::shared_ptr<UapiTarget*> target_;
  config::UapiReader reader_;
  std::array<uint8_t, kReadBytes> buffer_{};
  std::string reply_;
};

UapiServer::UapiServer(boost::asio::io_context& io, UapiTarget& target)
    : io_(io), target_(std::make_shared<UapiTarget*>(&target)), acceptor_(io), pause_(io) {}

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
  const std::string which = "WG_UAPI_FD: descriptor " + std::to_string(fd) + " is ";
  if (option_of(fd, SO_DOMAIN) != AF_UNIX) return fail(which + "not a Unix socket");
  if (option_of(fd, SO_TYPE) != SOCK_STREAM) return fail(which + "a Unix socket, but not a stream");
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (option_of(fd, SO_ACCEPTCONN) != 1) {
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      return fail(which + "a Unix socket that neither listens nor is connected");
    }
    server->start_session(Protocol::socket(io, Protocol(), fd));
    return server;
  }
  ListeningSocket socket;
  socket.fd = transport::UniqueFd(fd);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
      size > offsetof(sockaddr_un, sun_path)) {
    // The longest path there is has no NUL at its end.
    const std::string path(address.sun_path, strnlen(address.sun_path, sizeof address.sun_path));
    if (const auto file = SocketFile::at(path)) socket.file = *file;
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
    if (!error) {
      start_session(std::move(socket));
      accept();
      return;
    }
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](boost::system::error_code aborted) {
      if (!aborted) accept();
    });
  });
}

void UapiServer::start_session(Protocol::socket socket) {
  std::make_shared<Session>(std::move(socket), target_)->read();
}

}  // namespace hats::app
