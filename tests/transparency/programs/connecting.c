// connect(2) in every way that it is waited for, and sends that name their destination.

#include "case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

static struct sockaddr_in server, nobody;

static int is_there(struct sockaddr_in *address, int type, int listening) {
  int descriptor = must("socket", socket(AF_INET, type, 0));
  socklen_t length = sizeof(*address);
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  must("bind", bind(descriptor, (struct sockaddr *)address, length));
  must("getsockname", getsockname(descriptor, (struct sockaddr *)address, &length));
  if (listening) must("listen", listen(descriptor, 8));
  return descriptor;
}

// How far one side can speak to the other.
static void say_talk(const char *key, int client, int accepting) {
  char text[16] = "";
  int peer = must(key, accept(accepting, NULL, NULL));
  long sent = send(client, "hello", 5, MSG_NOSIGNAL), got = recv(peer, text, sizeof(text) - 1, 0);
  say(key, "%ld sent, %ld received, '%s'", sent, got, text);
  close(peer);
}

static int tcp(int flags) { return must("socket", socket(AF_INET, SOCK_STREAM | flags, 0)); }

static int reach(int descriptor, struct sockaddr_in *address) {
  return connect(descriptor, (struct sockaddr *)address, sizeof(*address));
}

static void say_error(const char *key, int descriptor) {
  int error = 0;
  socklen_t length = sizeof(error);
  must("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length));
  returned(key, error);
}

static void blocking(int accepting) {
  int client = tcp(0);
  result("connect", reach(client, &server));
  say_talk("talk over it", client, accepting);
  result("connect it again", reach(client, &server));
  close(client);
  client = tcp(0);
  result("connect to nobody", reach(client, &nobody));
  result("connect the same to somebody", reach(client, &server));
  say_talk("talk over that", client, accepting);
  close(client);
}

// The send timeout bounds connect too, and lets any stop of the process end it with EINTR.
static void with_a_timeout(int accepting) {
  int client = tcp(0);
  struct timeval wait = {20, 0};
  must("setsockopt", setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)));
  result("connect with a send timeout", reach(client, &server));
  say_talk("talk over the one with a timeout", client, accepting);
  close(client);
}

static void not_blocking(int accepting) {
  int client = tcp(SOCK_NONBLOCK);
  result("connect, not blocking", reach(client, &server));
  struct pollfd wait = {.fd = client, .events = POLLOUT};
  result("poll it", poll(&wait, 1, 20000));
  say("poll says", "%#x", wait.revents);
  say_error("its error", client);
  result("connect, not blocking, again", reach(client, &server));
  say_talk("talk over the one not blocking", client, accepting);
  close(client);
  client = tcp(SOCK_NONBLOCK);
  result("connect to nobody, not blocking", reach(client, &nobody));
  wait = (struct pollfd){.fd = client, .events = POLLOUT};
  poll(&wait, 1, 20000);
  say("poll then says", "%#x", wait.revents);
  say_error("its error then", client);
  close(client);
}

static void fast_open(int accepting) {
  int client = tcp(0);
  char text[16] = "";
  result("send without connecting first",
         sendto(client, "fast", 4, MSG_FASTOPEN, (struct sockaddr *)&server, sizeof(server)));
  int peer = must("accept", accept(accepting, NULL, NULL));
  recv(peer, text, sizeof(text) - 1, 0);
  say("received of that", "'%s'", text);
  close(peer);
  close(client);
}

static void received(const char *key, int descriptor) {
  char text[4][16] = {}, all[128] = "";
  for (int i = 0; i < 4; i++) {
    if (recv(descriptor, text[i], sizeof(text[i]) - 1, MSG_DONTWAIT) < 0) break;
    snprintf(all + strlen(all), sizeof(all) - strlen(all), " '%s'", text[i]);
  }
  say(key, "%s", all);
}

static struct mmsghdr to(struct sockaddr_in *address, struct iovec *text) {
  return (struct mmsghdr){.msg_hdr = {.msg_name = address, .msg_namelen = sizeof(*address), .msg_iov = text, .msg_iovlen = 1}};
}

static void datagrams(void) {
  struct sockaddr_in first, second;
  int one = is_there(&first, SOCK_DGRAM, 0), two = is_there(&second, SOCK_DGRAM, 0);
  int client = must("socket", socket(AF_INET, SOCK_DGRAM, 0));
  result("send to", sendto(client, "a", 1, 0, (struct sockaddr *)&first, sizeof(first)));
  received("received", one);
  struct iovec texts[] = {{"b", 1}, {"c", 1}, {"d", 1}};
  struct mmsghdr same[] = {to(&first, texts), to(&first, texts + 1), to(&first, texts + 2)};
  result("send three to one", sendmmsg(client, same, 3, 0));
  received("received of three", one);
  struct mmsghdr different[] = {to(&first, texts), to(&second, texts + 1), to(&first, texts + 2)};
  result("send to different ones", sendmmsg(client, different, 3, 0));
  received("received by the first", one);
  received("received by the second", two);
  result("sendmsg", sendmsg(client, &different[1].msg_hdr, 0));
  received("received of sendmsg", two);
  result("connect the socket", reach(client, &first));
  result("send on it", send(client, "e", 1, 0));
  received("received of that send", one);
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  result("take the connection back", connect(client, &none, sizeof(none)));
  result("send on it then", send(client, "f", 1, 0));
  close(one), close(two), close(client);
}

static void version_six(void) {
  int accepting = must("socket", socket(AF_INET6, SOCK_STREAM, 0)), client;
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  socklen_t length = sizeof(address);
  if (result("bind by version six", bind(accepting, (struct sockaddr *)&address, length)) == 0) {
    must("listen", listen(accepting, 1));
    must("getsockname", getsockname(accepting, (struct sockaddr *)&address, &length));
    client = must("socket", socket(AF_INET6, SOCK_STREAM, 0));
    result("connect by version six", connect(client, (struct sockaddr *)&address, length));
    say_talk("talk over version six", client, accepting);
    close(client);
  }
  close(accepting);
}

int main(void) {
  int accepting = is_there(&server, SOCK_STREAM, 1);
  // Bound and not listening: a port that stays closed.
  int closed = is_there(&nobody, SOCK_STREAM, 0);
  blocking(accepting);
  with_a_timeout(accepting);
  not_blocking(accepting);
  fast_open(accepting);
  datagrams();
  version_six();
  close(accepting), close(closed);
  return 0;
}
