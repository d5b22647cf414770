#include "tools/hatsd-user/control/control_server.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <chrono>
#include <utility>

#include "crypto/secret.hpp"
#include "tools/hatsd-user/quick/run_directory.hpp"

namespace hats::app {

using nlohmann::json;

namespace {

constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr size_t kReadSize = size_t{64} * 1024;  // of a request at once

std::vector<std::string> words_of(const json& request) {
  std::vector<std::string> out;
  const auto found = request.find("words");
  if (found == request.end() || !found->is_array()) return out;
  for (const json& word : *found) {
    if (word.is_string()) out.push_back(word.get<std::string>());
  }
  return out;
}

}  // namespace

class ControlServer::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Protocol::socket socket, std::shared_ptr<ControlTarget*> target)
      : socket_(std::move(socket)), target_(std::move(target)) {}
  ~Session() { crypto::wipe({reinterpret_cast<uint8_t*>(request_.data()), request_.size()}); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void read() {
    // Asio's own reads would drop the descriptors that come along.
    socket_.async_wait(Protocol::socket::wait_read,
                       [self = shared_from_this()](boost::system::error_code error) {
                         if (!error && *self->target_ != nullptr) self->receive();
                       });
  }

 private:
  void receive() {
    std::array<uint8_t, kReadSize> buffer;
    const ssize_t count = receive_with(socket_.native_handle(), buffer, descriptors_, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return read();
    if (count <= 0) return;
    const size_t before = request_.size();
    request_.append(reinterpret_cast<const char*>(buffer.data()), static_cast<size_t>(count));
    crypto::wipe({buffer.data(), static_cast<size_t>(count)});
    const size_t end = request_.find('\n', before);
    if (end != std::string::npos) {
      handle(std::string_view(request_).substr(0, end));
    } else if (request_.size() < kMaxControlRequest) {
      read();
    }
  }

  void handle(std::string_view line) {
    const json request = json::parse(line, nullptr, false);
    const auto field = [&](const char* name) {
      const auto found = request.find(name);
      return found != request.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    ControlTarget& target = **target_;
    const auto respond = [self = shared_from_this()](const json& answer) { self->reply(answer); };
    const std::string operation = request.is_object() ? field("op") : std::string();
    if (operation == "show") {
      respond({{"interfaces", target.control_show(field("name"))}});
    } else if (operation == "tunnel_survey") {
      respond(target.control_tunnel_survey(request.value("tunnel", json::object())));
    } else if (operation == "down") {
      target.control_down(field("name"), descriptors_, respond);
    } else if (operation == "reload") {
      target.control_reload(field("name"), request.value("sources", json::object()), respond);
    } else if (operation == "tunnel_add") {
      target.control_tunnel_add(field("name"), words_of(request), respond);
    } else if (operation == "tunnel_change") {
      target.control_tunnel_change(field("name"), words_of(request), respond);
    } else {
      respond({{"error", "this process does not know the request; it may be of another version"}});
    }
  }

  void reply(const json& answer) {
    reply_ = answer.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    boost::asio::async_write(socket_, boost::asio::buffer(reply_),
                             [self = shared_from_this()](boost::system::error_code, size_t) {});
  }

  Protocol::socket socket_;
  std::shared_ptr<ControlTarget*> target_;
  std::string request_, reply_;
  Descriptors descriptors_;  // that came with the request
};

AppResult<std::unique_ptr<ControlServer>> ControlServer::open(boost::asio::io_context& io,
                                                              ControlTarget& target) {
  auto socket = listen_at(std::string(kRunDirectory) + "/" + std::to_string(getpid()) + ".sock", 0700);
  if (!socket) return std::unexpected(socket.error());
  return std::unique_ptr<ControlServer>(new ControlServer(io, target, std::move(*socket)));
}

ControlServer::ControlServer(boost::asio::io_context& io, ControlTarget& target, ListeningSocket socket)
    : target_(std::make_shared<ControlTarget*>(&target)),
      acceptor_(io),
      pause_(io),
      file_(std::move(socket.file)) {
  acceptor_.assign(Protocol(), socket.fd.release());
  accept();
}

ControlServer::~ControlServer() {
  *target_ = nullptr;
  file_.remove();
  // The last process takes the folder with it; others' sockets and records keep it.
  remove_run_directory_if_unused();
}

void ControlServer::accept() {
  acceptor_.async_accept([this](boost::system::error_code error, Protocol::socket socket) {
    if (error == boost::asio::error::operation_aborted) return;  // destroyed
    if (!error) {
      std::make_shared<Session>(std::move(socket), target_)->read();
      accept();
      return;
    }
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](boost::system::error_code aborted) {
      if (!aborted) accept();
    });
  });
}

}  // namespace hats::app
