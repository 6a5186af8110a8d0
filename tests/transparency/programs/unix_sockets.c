// Sockets with names in the file system and without, streams and datagrams, and what is passed over.

#include "case.h"
#include <sys/un.h>

static socklen_t name_of(struct sockaddr_un *address, const char *name) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  strcpy(address->sun_path, name);
  socklen_t length = sizeof(sa_family_t) + strlen(name);
  if (name[0] == '@')
    address->sun_path[0] = 0;
  else
    length++;
  return length;
}

static int serve(const char *name, int type) {
  struct sockaddr_un address;
  socklen_t length = name_of(&address, name);
  int descriptor = must("socket", socket(AF_UNIX, type, 0));
  must(name, bind(descriptor, (struct sockaddr *)&address, length));
  if (type != SOCK_DGRAM) must("listen", listen(descriptor, 2));
  return descriptor;
}

static int reach(const char *key, int type, const char *name) {
  struct sockaddr_un address;
  socklen_t length = name_of(&address, name);
  int descriptor = must("socket", socket(AF_UNIX, type, 0));
  result(key, connect(descriptor, (struct sockaddr *)&address, length));
  return descriptor;
}

static void say_talk(const char *key, int client, int accepting) {
  char text[16] = "";
  int peer = must(key, accept(accepting, NULL, NULL));
  struct ucred who = {};
  socklen_t length = sizeof(who);
  must("getsockopt", getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &who, &length));
  long sent = send(client, "hello", 5, MSG_NOSIGNAL), got = recv(peer, text, sizeof(text) - 1, 0);
  say(key, "%ld sent, %ld received, '%s', from itself: %d", sent, got, text, who.pid == getpid());
  close(peer);
}

static void streams(const char *name, const char *key, int type) {
  char line[64];
  int accepting = serve(name, type);
  snprintf(line, sizeof(line), "connect to %s", key);
  int client = reach(line, type, name);
  snprintf(line, sizeof(line), "talk over %s", key);
  say_talk(line, client, accepting);
  close(client), close(accepting);
}

static void datagrams(void) {
  struct sockaddr_un address;
  int receiving = serve("datagrams", SOCK_DGRAM), sending = must("socket", socket(AF_UNIX, SOCK_DGRAM, 0));
  socklen_t length = name_of(&address, "datagrams");
  char text[16] = "";
  result("send to a name", sendto(sending, "one", 3, 0, (struct sockaddr *)&address, length));
  result("receive it", recv(receiving, text, sizeof(text), 0));
  result("connect to a name", connect(sending, (struct sockaddr *)&address, length));
  result("send on it", send(sending, "two", 3, 0));
  result("receive that", recv(receiving, text, sizeof(text), 0));
  say("the last", "'%.3s'", text);
  close(receiving), close(sending);
}

static void full(void) {
  int accepting = must("socket", socket(AF_UNIX, SOCK_STREAM, 0)), clients[8], refused = 0;
  struct sockaddr_un address;
  socklen_t length = name_of(&address, "full");
  must("bind", bind(accepting, (struct sockaddr *)&address, length));
  must("listen", listen(accepting, 0));
  for (int i = 0; i < 8; i++) {
    clients[i] = must("socket", socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    if (connect(clients[i], (struct sockaddr *)&address, length) < 0 && errno == EAGAIN) refused++;
  }
  say("connections that a full queue refuses", "%d of 8", refused);
  for (int i = 0; i < 8; i++) close(clients[i]);
  close(accepting);
}

static void passing(void) {
  int pair[2], passed = must("open", open("passed", O_RDWR | O_CREAT, 0600));
  char byte = 'x', room[CMSG_SPACE(sizeof(int))] = {};
  must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  must("write", write(passed, "passed on", 9));
  struct iovec text = {&byte, 1};
  struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(head), &passed, sizeof(int));
  result("pass a descriptor", sendmsg(pair[0], &message, 0));
  result("take it", recvmsg(pair[1], &message, 0));
  int taken;
  char content[16] = "";
  memcpy(&taken, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
  result("read from it", pread(taken, content, 9, 0));
  say("it has", "'%s'", content);
  close(taken), close(passed), close(pair[0]), close(pair[1]);
}

int main(void) {
  streams("stream", "a stream", SOCK_STREAM);
  streams("packets", "packets", SOCK_SEQPACKET);
  streams("@holdfast-test-transparency", "a stream without a file", SOCK_STREAM);
  close(reach("connect to what nobody serves", SOCK_STREAM, "stream"));
  close(reach("connect to no file", SOCK_STREAM, "absent"));
  datagrams();
  full();
  passing();
  return 0;
}
