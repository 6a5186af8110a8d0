// The program that other cases run: says what it was given, and what it finds itself to be.

#include "case.h"

int main(int count, char **words) {
  if (count == 4 && !strcmp(words[1], "--write")) {
    result("write to what was kept", write(atoi(words[2]), "kept", 4));
    result("write to what was closed", write(atoi(words[3]), "closed", 6));
    return 0;
  }
  char line[256] = "";
  for (int i = 0; i < count; i++)
    snprintf(line + strlen(line), sizeof(line) - strlen(line), " '%s'", strrchr(words[i], '/') ? strrchr(words[i], '/') + 1 : words[i]);
  sigset_t blocked;
  int signals = 0;
  sigprocmask(SIG_BLOCK, NULL, &blocked);
  for (int number = 1; number < 32; number++) signals += sigismember(&blocked, number);
  say("says", "%s; signals blocked: %d; setting: %s", line, signals, getenv("SETTING") ? getenv("SETTING") : "none");
  return count > 3 ? 4 : 0;
}
