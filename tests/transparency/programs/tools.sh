#!/bin/sh
# Programs that people run all day: git, make with a compiler, tar, find, sed. Says what they leave.
set -u
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.com \
  GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.com GIT_AUTHOR_DATE="1700000000 +0000" \
  GIT_COMMITTER_DATE="1700000000 +0000"

say() { printf '%s: %s\n' "$1" "$2"; }

mkdir project
for unit in one two three; do
  printf 'int %s(void) { return %d; }\n' "$unit" "${#unit}" > "project/$unit.c"
done
printf 'int one(void), two(void), three(void);\nint main(void) { return one() + two() + three() - 10; }\n' > project/main.c
printf 'objects = main.o one.o two.o three.o\nproject: $(objects)\n\t$(CC) -o $@ $(objects)\nclean:\n\trm -f project $(objects)\n' > project/Makefile
# From a make of the test's own, nothing may come to this one.
unset MAKEFLAGS MAKELEVEL MFLAGS 2> /dev/null
make -s -j4 -C project > make.log 2>&1
say "make -j4" "$?, $(wc -l < make.log) lines"
project/project
say "what it made ends with" "$?"
make -s -C project > make.log 2>&1
say "make again" "$?, $(wc -l < make.log) lines"
make -s -C project clean
say "make clean" "$?, $(find project -name '*.o' | wc -l) objects left"

git init -q -b main project
git -C project add . && git -C project commit -q -m first
say "git commit" "$? $(git -C project rev-parse HEAD)"
git clone -q --no-hardlinks project clone
say "git clone" "$? $(git -C clone rev-parse HEAD)"
git clone -q "file://$PWD/project" fetched
say "git clone through its own protocol" "$? $(git -C fetched rev-parse HEAD)"
printf 'more\n' >> clone/main.c
say "git status" "$(git -C clone status --porcelain | tr '\n' ' ')"
git -C clone commit -q -a -m second && git -C clone push -q origin HEAD:refs/heads/other
say "git push" "$? $(git -C project rev-parse other)"
git -C project gc -q
say "git gc" "$?"
say "git fsck" "$(git -C project fsck 2>&1 | wc -l)"

tar --sort=name --mtime=@1 --owner=0 --group=0 --exclude=.git -cf packed.tar project
say "tar" "$? $(sha256sum < packed.tar)"
mkdir unpacked && tar -xf packed.tar -C unpacked
say "untar" "$? $(diff -r --exclude=.git project unpacked/project && echo the same)"
gzip -n packed.tar && gunzip packed.tar.gz
say "gzip and back" "$? $(sha256sum < packed.tar)"
sed -i s/return/RETURN/ unpacked/project/one.c
say "sed -i" "$? $(cat unpacked/project/one.c)"
cp -a unpacked copy && mv copy moved && rm -r unpacked
say "cp, mv, rm" "$? $(ls moved/project | tr '\n' ' ')"
say "find and xargs" "$(find moved -name '*.c' | sort | xargs -n 1 -P 2 cat | sort | sha256sum)"
