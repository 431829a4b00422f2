/* The least that can answer an Allegro Hand V5 Sense over UDP: wait for a sample, proportional-derivative control, send.
 * No safety, no checks, no ROS: the floor that the driver is measured against. Never let it near a real hand.
 * Usage: loop_floor HAND_PORT SECONDS */
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 16, JOINTS = 16, POSITIONS = 4, TELEMETRY = 0x02, TORQUE = 0x03, HELLO = 0x10, HINF = 0x60 };

static uint32_t sequence;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void packet(int link, uint8_t type, const void *payload, uint16_t length)
{
    unsigned char bytes[HEADER + 64] = {'V', '5', 'B', '2', 1, type};
    uint32_t ms = (uint32_t)(now() * 1e3);
    memcpy(bytes + 6, &length, 2);
    memcpy(bytes + 8, &sequence, 4);
    memcpy(bytes + 12, &ms, 4);
    if (length)
        memcpy(bytes + HEADER, payload, length);
    sequence++;
    send(link, bytes, HEADER + length, 0);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int link = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in hand = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    inet_pton(AF_INET, "127.0.0.1", &hand.sin_addr);
    if (link < 0 || connect(link, (struct sockaddr *)&hand, sizeof hand))
        return 1;
    struct sched_param priority = {.sched_priority = 60};
    sched_setscheduler(0, SCHED_FIFO, &priority);
    prctl(PR_SET_TIMERSLACK, 1);
    mlockall(MCL_CURRENT | MCL_FUTURE);

    const uint8_t off = 0;
    const int16_t zero[JOINTS] = {0};
    packet(link, HELLO, NULL, 0);
    packet(link, HINF, &off, 1);
    packet(link, TORQUE, zero, sizeof zero);
    double velocity[JOINTS] = {0}, last[JOINTS], target[JOINTS];
    int started = 0;
    for (double end = now() + atof(argv[2]); now() < end;) {
        struct pollfd ready = {.fd = link, .events = POLLIN};
        unsigned char bytes[512];
        if (poll(&ready, 1, 100) <= 0 || recv(link, bytes, sizeof bytes, 0) < HEADER + 164 || bytes[5] != TELEMETRY)
            continue;
        int16_t counts[JOINTS], current[JOINTS];
        memcpy(counts, bytes + HEADER + POSITIONS, sizeof counts);
        for (int j = 0; j < JOINTS; j++) {
            double q = counts[j] * 0.088 * 3.14159265358979 / 180;
            if (!started)
                target[j] = last[j] = q;
            velocity[j] += 0.43 * ((q - last[j]) / 0.003 - velocity[j]);
            last[j] = q;
            double ma = 1430 * (0.6 * (target[j] - q) - 0.04 * velocity[j]);
            current[j] = (int16_t)(ma > 240 ? 240 : ma < -240 ? -240 : ma);
        }
        started = 1;
        packet(link, TORQUE, current, sizeof current);
    }
    packet(link, TORQUE, zero, sizeof zero);
    return !started;
}
