// Holds kernel objects and releases them: kernel_objects WHAT COUNT. Steps: hold, release, end. What needs no step to
// be held on to outlives the program: `orphans` are message queues that it leaves behind.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <mqueue.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../steps.h"

#define MOST 20000
static int descriptors[MOST];
static int held;
static int count;

static void keep(int descriptor) {
  require(descriptor >= 0 && held < MOST, 20);
  descriptors[held++] = descriptor;
}

static void close_all(void) {
  while (held > 0)
    close(descriptors[--held]);
}

// ---- What is held ---------------------------------------------------------------------------------------------------

static void hold_pipes(void) {
  for (int i = 0; i < count; i++) {
    int ends[2];
    require(pipe(ends) == 0, 21);
    keep(ends[0]);
    keep(ends[1]);
  }
}

// A page in each.
static void hold_filled_pipes(void) {
  static char byte[1];
  hold_pipes();
  for (int i = 1; i < held; i += 2)
    require(write(descriptors[i], byte, 1) == 1, 22);
}

static void hold_eventfds(void) {
  for (int i = 0; i < count; i++)
    keep(eventfd(0, 0));
}

static void hold_sockets(void) {
  for (int i = 0; i < count; i++)
    keep(socket(AF_UNIX, SOCK_STREAM, 0));
}

static void hold_epoll(void) {
  hold_eventfds();
  int poll = epoll_create1(0);
  for (int i = 0; i < count; i++) {
    struct epoll_event event = {.events = EPOLLIN};
    require(epoll_ctl(poll, EPOLL_CTL_ADD, descriptors[i], &event) == 0, 23);
  }
  keep(poll);
}

// Connections that nobody accepts: their sockets are made when the last packet of the handshake arrives, in a soft
// interrupt.
static void hold_connections(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof(address);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  require(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 4096) == 0, 24);
  require(getsockname(listener, (struct sockaddr *)&address, &length) == 0, 25);
  keep(listener);
  for (int i = 0; i < count; i++) {
    int client = socket(AF_INET, SOCK_STREAM, 0);
    require(connect(client, (struct sockaddr *)&address, length) == 0, 26);
    keep(client);
  }
}

static int create_map(int type, int value_size, int entries, int flags) {
  union bpf_attr attributes = {
      .map_type = type, .key_size = 4, .value_size = value_size, .max_entries = entries, .map_flags = flags};
  return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes));
}

static void hold_maps(void) {
  for (int i = 0; i < count; i++)
    keep(create_map(BPF_MAP_TYPE_ARRAY, 64, 10, 0));
}

// Their memory is to be mapped, and so is whole pages.
static void hold_mapped_maps(void) {
  for (int i = 0; i < count; i++)
    keep(create_map(BPF_MAP_TYPE_ARRAY, 4096, 8, BPF_F_MMAPABLE));
}

static void hold_percpu_maps(void) {
  for (int i = 0; i < count; i++)
    keep(create_map(BPF_MAP_TYPE_PERCPU_ARRAY, 24, 1, 0));
}

static const char *directory;

static void for_each_file(void (*act)(const char *)) {
  char path[512];
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof(path), "%s/file-%d", directory, i);
    act(path);
  }
}

static void create_file(const char *path) { require(close(open(path, O_CREAT | O_WRONLY, 0600)) == 0, 27); }
static void remove_file(const char *path) { require(unlink(path) == 0, 28); }
static void hold_files(void) { for_each_file(create_file); }
static void remove_files(void) { for_each_file(remove_file); }

static pthread_t threads[MOST];
static pthread_barrier_t barrier;

static void *wait_for_release(void *unused) {
  pthread_barrier_wait(&barrier);
  return unused;
}

static void hold_threads(void) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 10);
  pthread_barrier_init(&barrier, NULL, count + 1);
  for (int i = 0; i < count; i++)
    require(pthread_create(&threads[i], &attributes, wait_for_release, NULL) == 0, 29);
}

static void end_threads(void) {
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < count; i++)
    pthread_join(threads[i], NULL);
}

// ---- What stays behind ----------------------------------------------------------------------------------------------

struct message {
  long type;
  char text[500];
};

static void leave_messages(void) {
  int queue = msgget(IPC_PRIVATE, 0600);
  struct message message = {.type = 1};
  for (int i = 0; i < count; i++)
    require(msgsnd(queue, &message, sizeof(message.text), IPC_NOWAIT) == 0, 32);
  char line[32];
  snprintf(line, sizeof(line), "%d\n", queue);
  say(line);
}

static void leave_posix_messages(void) {
  struct mq_attr attributes = {.mq_maxmsg = count, .mq_msgsize = 500};
  static char text[500];
  mqd_t queue = mq_open(directory, O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
  require(queue >= 0, 33);
  for (int i = 0; i < count; i++)
    require(mq_send(queue, text, sizeof(text), 0) == 0, 34);
}

// ---- Without an end -------------------------------------------------------------------------------------------------

// A new eventfd every so many milliseconds, among many that are given back.
// Each semaphore is made by a child of its own, which ends at once.
static void hold_semaphores(void) {
  for (int i = 0; i < count; i++) {
    int ends[2], identifier = -1;
    require(pipe(ends) == 0, 27);
    pid_t child = fork();
    if (child == 0) {
      identifier = semget(IPC_PRIVATE, 1, 0600);
      _exit(write(ends[1], &identifier, sizeof(identifier)) == sizeof(identifier) ? 0 : 1);
    }
    require(child > 0 && read(ends[0], &identifier, sizeof(identifier)) == sizeof(identifier), 28);
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    keep(identifier);
  }
}

static void remove_semaphores(void) {
  while (held > 0)
    semctl(descriptors[--held], 0, IPC_RMID);
}

static void drip(void) {
  for (;;) {
    for (int i = 0; i < 20; i++)
      close(eventfd(0, 0));
    keep(eventfd(0, 0));
    usleep(count * 1000);
  }
}

// Opens and closes for as long as it may run.
static void churn(void) {
  for (;;) {
    hold_pipes();
    hold_eventfds();
    close_all();
  }
}

static const struct {
  const char *name;
  void (*hold)(void);
  void (*release)(void);
} kinds[] = {
    {"pipes", hold_pipes, close_all},
    {"filled_pipes", hold_filled_pipes, close_all},
    {"eventfds", hold_eventfds, close_all},
    {"sockets", hold_sockets, close_all},
    {"epoll", hold_epoll, close_all},
    {"connections", hold_connections, close_all},
    {"maps", hold_maps, close_all},
    {"mapped_maps", hold_mapped_maps, close_all},
    {"percpu_maps", hold_percpu_maps, close_all},
    {"files", hold_files, remove_files},
    {"threads", hold_threads, end_threads},
    {"messages", leave_messages, NULL},
    {"posix_messages", leave_posix_messages, NULL},
    {"semaphores", hold_semaphores, remove_semaphores},
    {"drip", drip, NULL},
    {"churn", churn, NULL},
};

int main(int argument_count, char **arguments) {
  require(argument_count >= 3, 10);
  struct rlimit limit = {MOST, MOST};
  require(setrlimit(RLIMIT_NOFILE, &limit) == 0, 11);
  count = atoi(arguments[2]);
  directory = argument_count > 3 ? arguments[3] : "/tmp";
  for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
    if (strcmp(kinds[i].name, arguments[1]))
      continue;
    step();
    kinds[i].hold();
    step();
    if (kinds[i].release)
      kinds[i].release();
    step();
    return 0;
  }
  return 12;
}
