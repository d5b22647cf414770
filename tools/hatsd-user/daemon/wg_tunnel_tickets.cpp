// A WireGuard tunnel with more than one core: batches whose sealing or opening another thread does. All of it
// runs on the tunnel's worker, and nothing of it with one worker.
#include "tools/hatsd-user/daemon/wg_tunnel.hpp"

namespace hats::app {

using transport::TunRead;
using transport::UdpReceived;

bool WgTunnel::seal_in_line(Now now, std::span<const TunRead> reads, bool may_give) {
  BatchSpace& space = parts_.space;
  Tickets& tickets = *parts_.tickets;
  send_done(now);
  if (space.out.jobs.empty()) return false;
  const bool give = may_give && space.out.jobs.size() >= kMinGivenJobs;
  if (!give && sealing_.empty()) return false;
  // The spare memory is the next batch's, too.
  const bool spare = !space.lent.front();
  Ticket* const ticket =
      spare ? nullptr : tickets.take(space.lent.size() + (give ? count_slabs(reads) : size_t{0}));
  if (ticket == nullptr) {
    finish_sealing(now);
    return false;
  }
  std::swap(ticket->out, space.out);
  std::swap(ticket->lent, space.lent);
  sealing_.push(*ticket);
  if (give) {
    std::swap(ticket->heads, space.heads);
    for (const TunRead& read : reads) ticket->reads.push_back(read.slab);
    if (tickets.pool().give(*ticket)) {
      ++counters_.sealed_elsewhere;
      return true;
    }
  }
  ticket->run(parts_.aead);
  send_done(now);
  return true;
}

bool WgTunnel::open_in_line(Now now, std::span<const UdpReceived> received) {
  BatchSpace& space = parts_.space;
  Tickets& tickets = *parts_.tickets;
  if (space.in.jobs.empty()) return false;
  const bool give = space.in.jobs.size() >= kMinGivenJobs;
  if (!give && opening_.empty()) return false;
  Ticket* const ticket = tickets.take(count_slabs(received));
  if (ticket == nullptr) {
    finish_opening(now);
    return false;
  }
  std::swap(ticket->in, space.in);
  ticket->received.assign(received.begin(), received.end());
  opening_.push(*ticket);
  if (give && tickets.pool().give(*ticket)) {
    ++counters_.opened_elsewhere;
    return true;
  }
  ticket->run(parts_.aead);
  deliver_done(now);
  return true;
}

void WgTunnel::send_done(Now now) {
  while (sealing_.first_is_done()) {
    Ticket& ticket = sealing_.first();
    sealing_.pop();
    send_batch(now, ticket.out, ticket.lent);
    parts_.tickets->give_back(ticket);
  }
}

void WgTunnel::deliver_done(Now now) {
  while (opening_.first_is_done()) {
    Ticket& ticket = opening_.first();
    opening_.pop();
    deliver_batch(now, ticket.in, ticket.received);
    parts_.tickets->give_back(ticket);
  }
}

void WgTunnel::finish_sealing(Now now) {
  while (!sealing_.empty()) {
    if (parts_.tickets->pool().finish(sealing_.first(), parts_.aead)) ++counters_.work_waits;
    send_done(now);
  }
}

void WgTunnel::finish_opening(Now now) {
  while (!opening_.empty()) {
    if (parts_.tickets->pool().finish(opening_.first(), parts_.aead)) ++counters_.work_waits;
    deliver_done(now);
  }
}

void WgTunnel::drop_tickets() {
  for (TicketLine* line : {&sealing_, &opening_}) {
    while (!line->empty()) {
      Ticket& ticket = line->first();
      line->pop();
      parts_.tickets->pool().cancel(ticket);
      parts_.tickets->give_back(ticket);
    }
  }
}

}  // namespace hats::app
