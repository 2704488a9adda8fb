#!/usr/bin/env bash
# A small C project by make and gcc, with a static library, a shared one, and a parallel build; then its programs run.
set -eu
work=$(mktemp -d) && cd "$work"
trap 'cd / && rm -rf "$work"' EXIT

for i in {1..12}; do
    printf '#include <stdio.h>\n#include <string.h>\nint f%d(int x) { return x * %d + (int)strlen("%d"); }\n' "$i" "$i" "$i" >"f$i.c"
done
{
    echo '#include <stdio.h>'
    for i in {1..12}; do echo "int f$i(int);"; done
    echo 'int main(void) { int s = 0;'
    for i in {1..12}; do echo "s += f$i($i);"; done
    echo 'printf("%d\n", s); return s % 7; }'
} >main.c
cat >thread.c <<'END'
#include <pthread.h>
#include <stdio.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long total;
static __thread long mine;
static void *work(void *arg) {
    for (int i = 0; i < 20000; i++) { mine++; pthread_mutex_lock(&lock); total++; pthread_mutex_unlock(&lock); }
    return (void *)mine;
}
int main(void) {
    pthread_t t[4]; long sum = 0; void *r;
    for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, work, 0);
    for (int i = 0; i < 4; i++) { pthread_join(t[i], &r); sum += (long)r; }
    printf("%ld %ld\n", total, sum);
    return 0;
}
END
cat >Makefile <<'END'
CFLAGS = -O1 -fPIC
objects = $(patsubst %.c,%.o,$(wildcard f*.c))
all: linked-static linked-shared wholly-static thread
libf.a: $(objects)
	$(AR) rcD $@ $(sort $^)
libf.so: $(objects)
	$(CC) -shared -o $@ $(sort $^)
linked-static: main.o libf.a
	$(CC) -o $@ $^
wholly-static: main.o libf.a
	$(CC) -static -o $@ $^
linked-shared: main.o libf.so
	$(CC) -o $@ main.o -L. -lf -Wl,-rpath,$(CURDIR)
thread: thread.c
	$(CC) -O1 -pthread -o $@ $<
END
make -s -j4
make -s -q && echo "nothing more to do"
touch f3.c && make -n 2>/dev/null | grep -c 'f3.c'
make -s -j2
for program in linked-static linked-shared wholly-static; do
    status=0
    ./$program || status=$?
    echo "$program: $status"
done
./thread
echo 'int main(void) { return undefined_thing; }' >bad.c
gcc -c bad.c 2>errors || echo "refused with $?"
grep -c 'undeclared' errors
sha256sum f*.o main.o libf.a
gcc -O2 -S -o - f1.c | grep -c f1
gcc -E main.c | wc -l
nm libf.a | grep -c ' T '
strip -o stripped linked-static && ./stripped || echo "stripped: $?"
echo 'int main(void) { *(volatile int *)0 = 1; }' >crash.c && gcc -w -o crash crash.c
bash -c 'ulimit -c 0; ./crash' 2>/dev/null || echo "crashed with $?"
echo done
