/* A libnvidia-ml.so.1 without hardware: exactly known readings, and faults on demand.
 *
 * Settings are environment variables, read at every nvmlInit (those marked * at every call). A comma list gives one
 * value per device; its last value serves the rest.
 *
 *   NVML_STUB_GPUS          devices                                              1
 *   NVML_STUB_POWER_W       power, both readings; the energy counter grows by it 300
 *   NVML_STUB_LIMIT_W       enforced power limit                                 700
 *   NVML_STUB_UTIL          utilization in percent                               50
 *   NVML_STUB_USED_MIB      memory in use                                        1024
 *   NVML_STUB_TOTAL_MIB     memory of a whole GPU                                143771
 *   NVML_STUB_TEMP_C        temperature                                          40
 *   NVML_STUB_SM_MHZ        SM clock                                             1980
 *   NVML_STUB_THROTTLE      mask of clock event reasons                          0
 *   NVML_STUB_VIOLATION     share of time, in percent, that the power policy holds the clocks down   0
 *   NVML_STUB_NAME          name of every device                                 NVIDIA Stub
 *   NVML_STUB_MIG           MIG instances; 1 or more turns MIG mode on           0
 *   NVML_STUB_NVLINKS       links, of which the first is down; 0: none, as of a single card   0
 *   NVML_STUB_REFUSED       calls that answer "no permission"
 *   NVML_STUB_PIDS          PIDs of the processes on device 0                    none
 *   NVML_STUB_PIDS_FILE  *  a file that holds them, once it exists
 *   NVML_STUB_INIT_ERROR    what nvmlInit answers                                0
 *   NVML_STUB_UNSUPPORTED   calls that answer "not supported"; field:N for field value N
 *   NVML_STUB_MISSING       calls that an old driver does not have: "function not found"
 *   NVML_STUB_RAW           CALL=NUMBER: what that call writes as its result, garbage included
 *   NVML_STUB_DENIED        index of a device whose handle is denied
 *   NVML_STUB_LOST_DEVICE   the device that gets lost                            0
 *   NVML_STUB_LOST_AFTER    it is lost after this many device calls
 *   NVML_STUB_LOST_CODE     and answers with this code                           15
 *   NVML_STUB_LOST_FILE  *  it is lost while or once this file exists
 *   NVML_STUB_RESET_FILE *  the energy counter starts again from 0 when this file appears
 *   NVML_STUB_DEAD_FILE  *  every call answers "uninitialized" while this file exists
 *   NVML_STUB_HANG_FILE  *  device calls block while this file exists
 *   NVML_STUB_STATE         folder in which limits and locked clocks that are set are kept, one file a device: what one
 *                           process sets, another sees; without it nobody may set them: "no permission"
 *
 * stub_calls("nvmlDevice...") counts the calls of one function since it was loaded.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SUCCESS, UNINITIALIZED, INVALID, UNSUPPORTED, DENIED, NOT_FOUND = 6, TOO_SMALL = 7, NO_FUNCTION = 13, LOST = 15 };
enum { MAX_DEVICES = 64, MAX_INSTANCES = 7, MAX_NAMES = 128 };

static const uint64_t MEMORY_TOTAL = 150754820096ULL; /* of an H200; no whole number of MiB */
static const uint64_t MEMORY_RESERVED = 600000000ULL;
static const uint64_t ENERGY_BASE_MJ = 2600454;

struct device {
    int index;
    int instance; /* -1: a whole GPU */
};

static struct device gpus[MAX_DEVICES];
static struct device instances[MAX_DEVICES][MAX_INSTANCES];
static int gpu_count, nvlinks, init_error, initialized, denied, lost_device, lost_code;
static long lost_after, device_calls, total_mib;
static double started, reset_at;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { const char *name; long calls; } counts[MAX_NAMES];
static struct {
    char power[256], limit[256], util[256], used[256], temp[256], sm[256], throttle[256], violation[256], mig[256];
    char refused[1024], unsupported[4096], missing[4096], raw[1024], pids[1024], pids_file[1024], name[256];
    char lost_file[1024], reset_file[1024], dead_file[1024], hang_file[1024], state[1024];
} set;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void text_setting(char *target, size_t size, const char *variable, const char *otherwise)
{
    const char *value = getenv(variable);
    snprintf(target, size, "%s", value && *value ? value : otherwise);
}

static long number_setting(const char *variable, long otherwise)
{
    const char *value = getenv(variable);
    return value && *value ? atol(value) : otherwise;
}

static double item(const char *list, int index)
{
    const char *next;
    while (index-- > 0 && (next = strchr(list, ',')))
        list = next + 1;
    return strtod(list, NULL);
}

static int listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == ',') && (at[length] == 0 || at[length] == ','))
            return 1;
    return 0;
}

static int raw(const char *name, unsigned long long *value)
{
    const char *at = strstr(set.raw, name);
    if (!at || at[strlen(name)] != '=')
        return 0;
    *value = strtoull(at + strlen(name) + 1, NULL, 10);
    return 1;
}

static int exists(const char *path)
{
    return *path && access(path, F_OK) == 0;
}

static void count(const char *name)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_NAMES; i++) {
        if (!counts[i].name)
            counts[i].name = name;
        if (!strcmp(counts[i].name, name)) {
            counts[i].calls++;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

static int enter_system(const char *name)
{
    count(name);
    if (!initialized || exists(set.dead_file))
        return UNINITIALIZED;
    if (listed(set.missing, name))
        return NO_FUNCTION;
    if (listed(set.refused, name))
        return DENIED;
    return listed(set.unsupported, name) ? UNSUPPORTED : SUCCESS;
}

static int enter(const char *name, const struct device *device)
{
    int result = enter_system(name);
    if (result)
        return result;
    if (!device)
        return INVALID;
    while (exists(set.hang_file))
        usleep(1000);
    device_calls++;
    if (device->index == lost_device && (exists(set.lost_file) || (lost_after >= 0 && device_calls > lost_after)))
        return lost_code;
    return SUCCESS;
}

#define SYSTEM() do { int result_ = enter_system(__func__); if (result_) return result_; } while (0)
#define DEVICE(d) do { int result_ = enter(__func__, d); if (result_) return result_; } while (0)
/* What an instance has no reading of its own for. */
#define WHOLE(d) do { DEVICE(d); if ((d)->instance >= 0) return UNSUPPORTED; } while (0)
#define ANSWER(type, target, value) do { unsigned long long raw_; \
        *(target) = raw(__func__, &raw_) ? (type)raw_ : (type)(value); return SUCCESS; } while (0)

static int answer_text(char *buffer, unsigned size, const char *text)
{
    if (strlen(text) + 1 > size)
        return TOO_SMALL;
    strcpy(buffer, text);
    return SUCCESS;
}

long stub_calls(const char *name)
{
    long calls = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_NAMES && counts[i].name; i++)
        if (!strcmp(counts[i].name, name))
            calls = counts[i].calls;
    pthread_mutex_unlock(&lock);
    return calls;
}

int nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    count("nvmlInit");
    init_error = (int)number_setting("NVML_STUB_INIT_ERROR", 0);
    if (init_error)
        return init_error;
    gpu_count = (int)number_setting("NVML_STUB_GPUS", 1);
    if (gpu_count > MAX_DEVICES)
        gpu_count = MAX_DEVICES;
    denied = (int)number_setting("NVML_STUB_DENIED", -1);
    nvlinks = (int)number_setting("NVML_STUB_NVLINKS", 0);
    text_setting(set.refused, sizeof set.refused, "NVML_STUB_REFUSED", "");
    lost_device = (int)number_setting("NVML_STUB_LOST_DEVICE", 0);
    lost_after = number_setting("NVML_STUB_LOST_AFTER", -1);
    lost_code = (int)number_setting("NVML_STUB_LOST_CODE", LOST);
    total_mib = number_setting("NVML_STUB_TOTAL_MIB", 0);
    text_setting(set.power, sizeof set.power, "NVML_STUB_POWER_W", "300");
    text_setting(set.limit, sizeof set.limit, "NVML_STUB_LIMIT_W", "700");
    text_setting(set.util, sizeof set.util, "NVML_STUB_UTIL", "50");
    text_setting(set.used, sizeof set.used, "NVML_STUB_USED_MIB", "1024");
    text_setting(set.temp, sizeof set.temp, "NVML_STUB_TEMP_C", "40");
    text_setting(set.sm, sizeof set.sm, "NVML_STUB_SM_MHZ", "1980");
    text_setting(set.throttle, sizeof set.throttle, "NVML_STUB_THROTTLE", "0");
    text_setting(set.violation, sizeof set.violation, "NVML_STUB_VIOLATION", "0");
    text_setting(set.mig, sizeof set.mig, "NVML_STUB_MIG", "0");
    text_setting(set.unsupported, sizeof set.unsupported, "NVML_STUB_UNSUPPORTED", "");
    text_setting(set.missing, sizeof set.missing, "NVML_STUB_MISSING", "");
    text_setting(set.raw, sizeof set.raw, "NVML_STUB_RAW", "");
    text_setting(set.pids, sizeof set.pids, "NVML_STUB_PIDS", "");
    text_setting(set.pids_file, sizeof set.pids_file, "NVML_STUB_PIDS_FILE", "");
    text_setting(set.name, sizeof set.name, "NVML_STUB_NAME", "NVIDIA Stub");
    text_setting(set.lost_file, sizeof set.lost_file, "NVML_STUB_LOST_FILE", "");
    text_setting(set.reset_file, sizeof set.reset_file, "NVML_STUB_RESET_FILE", "");
    text_setting(set.dead_file, sizeof set.dead_file, "NVML_STUB_DEAD_FILE", "");
    text_setting(set.hang_file, sizeof set.hang_file, "NVML_STUB_HANG_FILE", "");
    text_setting(set.state, sizeof set.state, "NVML_STUB_STATE", "");
    for (int i = 0; i < MAX_DEVICES; i++) {
        gpus[i] = (struct device){i, -1};
        for (int j = 0; j < MAX_INSTANCES; j++)
            instances[i][j] = (struct device){i, j};
    }
    device_calls = 0;
    reset_at = -1;
    started = now();
    initialized++;
    return SUCCESS;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void)
{
    SYSTEM();
    initialized--;
    return SUCCESS;
}

const char *nvmlErrorString(int code) { return code == SUCCESS ? "Success" : "Stub error"; }

int nvmlSystemGetDriverVersion(char *buffer, unsigned size) { SYSTEM(); return answer_text(buffer, size, "580.95.05"); }
int nvmlSystemGetNVMLVersion(char *buffer, unsigned size) { SYSTEM(); return answer_text(buffer, size, "13.580.95.05"); }
int nvmlSystemGetCudaDriverVersion(int *version) { SYSTEM(); ANSWER(int, version, 13000); }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { SYSTEM(); ANSWER(int, version, 13000); }

int nvmlSystemGetProcessName(unsigned pid, char *buffer, unsigned size)
{
    char name[64];
    SYSTEM();
    snprintf(name, sizeof name, "/usr/bin/\033[31mstub-%u", pid); /* names are anybody's to choose */
    return answer_text(buffer, size, name);
}

int nvmlDeviceGetCount_v2(unsigned *number) { SYSTEM(); ANSWER(unsigned, number, gpu_count); }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **device)
{
    SYSTEM();
    if ((int)index >= gpu_count)
        return INVALID;
    if ((int)index == denied)
        return DENIED;
    *device = &gpus[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(struct device *d, char *buffer, unsigned size)
{
    char uuid[64];
    DEVICE(d);
    if (d->instance < 0)
        snprintf(uuid, sizeof uuid, "GPU-%08x-0000-4000-8000-%012d", 0xa0000000u + (unsigned)d->index, d->index);
    else
        snprintf(uuid, sizeof uuid, "MIG-%08x-0000-5000-8000-%012d", 0xb0000000u + (unsigned)d->index, d->instance);
    return answer_text(buffer, size, uuid);
}

int nvmlDeviceGetName(struct device *d, char *buffer, unsigned size)
{
    char name[300];
    DEVICE(d);
    snprintf(name, sizeof name, d->instance < 0 ? "%s" : "%s MIG 1g.18gb", set.name);
    return answer_text(buffer, size, name);
}

int nvmlDeviceGetMigMode(struct device *d, unsigned *current, unsigned *pending)
{
    WHOLE(d);
    *current = *pending = item(set.mig, d->index) > 0;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(struct device *d, unsigned *number) { WHOLE(d); ANSWER(unsigned, number, MAX_INSTANCES); }

/* Slot 0 stays empty, as it does after an instance was destroyed. */
int nvmlDeviceGetMigDeviceHandleByIndex(struct device *d, unsigned index, struct device **instance)
{
    WHOLE(d);
    if (index < 1 || index > item(set.mig, d->index) || index >= MAX_INSTANCES)
        return NOT_FOUND;
    *instance = &instances[d->index][index];
    return SUCCESS;
}

struct memory { unsigned long long total, free, used; };
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };

static uint64_t used(const struct device *d) { return (uint64_t)item(set.used, d->index) << 20; }
static uint64_t total(const struct device *d)
{
    uint64_t whole = total_mib > 0 ? (uint64_t)total_mib << 20 : MEMORY_TOTAL;
    return d->instance < 0 ? whole : whole / MAX_INSTANCES;
}

int nvmlDeviceGetMemoryInfo(struct device *d, struct memory *memory)
{
    DEVICE(d);
    *memory = (struct memory){total(d), total(d) - used(d) - MEMORY_RESERVED, used(d) + MEMORY_RESERVED};
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(struct device *d, struct memory_v2 *memory)
{
    DEVICE(d);
    memory->total = total(d);
    memory->reserved = MEMORY_RESERVED;
    memory->used = used(d);
    memory->free = memory->total - memory->used - MEMORY_RESERVED;
    return SUCCESS;
}

struct utilization { unsigned gpu, memory; };

int nvmlDeviceGetUtilizationRates(struct device *d, struct utilization *rates)
{
    unsigned long long garbage;
    WHOLE(d);
    rates->gpu = raw(__func__, &garbage) ? (unsigned)garbage : (unsigned)item(set.util, d->index);
    rates->memory = rates->gpu / 2;
    return SUCCESS;
}

static double milliwatts(const struct device *d) { return item(set.power, d->index) * 1000; }

int nvmlDeviceGetPowerUsage(struct device *d, unsigned *power) { WHOLE(d); ANSWER(unsigned, power, milliwatts(d)); }
static void state_path(char *path, size_t size, const char *what, const struct device *d)
{
    snprintf(path, size, "%s/%s.%d", set.state, what, d->index);
}

/* The power limit in milliwatts: as it was set, else as the environment has it. */
static double power_limit(const struct device *d)
{
    char path[1200];
    double value = item(set.limit, d->index) * 1000;
    state_path(path, sizeof path, "limit", d);
    FILE *file = *set.state ? fopen(path, "r") : NULL;
    if (file) {
        if (fscanf(file, "%lf", &value) != 1)
            value = item(set.limit, d->index) * 1000;
        fclose(file);
    }
    return value;
}

static int keep_state(const char *what, const struct device *d, unsigned one, unsigned other)
{
    char path[1200];
    if (!*set.state)
        return DENIED;
    state_path(path, sizeof path, what, d);
    FILE *file = fopen(path, "w");
    if (!file)
        return DENIED;
    fprintf(file, "%u %u\n", one, other);
    fclose(file);
    return SUCCESS;
}

int nvmlDeviceGetEnforcedPowerLimit(struct device *d, unsigned *limit) { WHOLE(d); ANSWER(unsigned, limit, power_limit(d)); }
int nvmlDeviceGetPowerManagementLimit(struct device *d, unsigned *limit) { WHOLE(d); ANSWER(unsigned, limit, power_limit(d)); }
int nvmlDeviceSetPowerManagementLimit(struct device *d, unsigned limit)
{
    WHOLE(d);
    return limit < 200000 || limit > 750000 ? INVALID : keep_state("limit", d, limit, limit);
}
int nvmlDeviceSetGpuLockedClocks(struct device *d, unsigned low, unsigned high)
{
    WHOLE(d);
    return low > high || high > 1980 ? INVALID : keep_state("clocks", d, low, high);
}
int nvmlDeviceResetGpuLockedClocks(struct device *d)
{
    char path[1200];
    WHOLE(d);
    if (!*set.state)
        return DENIED;
    state_path(path, sizeof path, "clocks", d);
    unlink(path);
    return SUCCESS;
}
int nvmlDeviceGetPowerManagementDefaultLimit(struct device *d, unsigned *limit) { WHOLE(d); ANSWER(unsigned, limit, 700000); }

int nvmlDeviceGetPowerManagementLimitConstraints(struct device *d, unsigned *low, unsigned *high)
{
    WHOLE(d);
    *low = 200000;
    *high = 750000;
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(struct device *d, unsigned long long *energy)
{
    WHOLE(d);
    if (reset_at < 0 && exists(set.reset_file))
        reset_at = now();
    if (reset_at >= 0)
        ANSWER(unsigned long long, energy, (now() - reset_at) * milliwatts(d));
    ANSWER(unsigned long long, energy, (double)ENERGY_BASE_MJ + (now() - started) * milliwatts(d));
}

struct violation { unsigned long long reference, time; };

int nvmlDeviceGetViolationStatus(struct device *d, unsigned policy, struct violation *status)
{
    double ns = (now() - started) * 1e9;
    WHOLE(d);
    if (policy > 5)
        return INVALID;
    status->reference = (unsigned long long)(ns / 1000);
    status->time = policy == 0 ? (unsigned long long)(ns * item(set.violation, d->index) / 100) : 0;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(struct device *d, unsigned sensor, unsigned *degrees)
{
    WHOLE(d);
    if (sensor)
        return INVALID;
    ANSWER(unsigned, degrees, item(set.temp, d->index));
}

struct temperature { unsigned version, sensor; int degrees; };

int nvmlDeviceGetTemperatureV(struct device *d, struct temperature *temperature)
{
    WHOLE(d);
    temperature->degrees = (int)item(set.temp, d->index);
    return SUCCESS;
}

int nvmlDeviceGetTemperatureThreshold(struct device *d, unsigned kind, unsigned *degrees) { WHOLE(d); ANSWER(unsigned, degrees, kind ? 89 : 92); }
int nvmlDeviceGetClockInfo(struct device *d, unsigned kind, unsigned *mhz) { WHOLE(d); ANSWER(unsigned, mhz, kind == 2 ? 3201 : item(set.sm, d->index)); }
int nvmlDeviceGetMaxClockInfo(struct device *d, unsigned kind, unsigned *mhz) { WHOLE(d); ANSWER(unsigned, mhz, kind == 2 ? 3201 : 1980); }
int nvmlDeviceGetCurrentClocksEventReasons(struct device *d, unsigned long long *mask) { WHOLE(d); ANSWER(unsigned long long, mask, item(set.throttle, d->index)); }
int nvmlDeviceGetCurrentClocksThrottleReasons(struct device *d, unsigned long long *mask) { WHOLE(d); ANSWER(unsigned long long, mask, item(set.throttle, d->index)); }
int nvmlDeviceGetPerformanceState(struct device *d, unsigned *state) { WHOLE(d); ANSWER(unsigned, state, 0); }
int nvmlDeviceGetPersistenceMode(struct device *d, unsigned *mode) { WHOLE(d); ANSWER(unsigned, mode, 1); }
int nvmlDeviceGetMemoryBusWidth(struct device *d, unsigned *bits) { WHOLE(d); ANSWER(unsigned, bits, 6144); }
int nvmlDeviceGetMaxPcieLinkGeneration(struct device *d, unsigned *generation) { WHOLE(d); ANSWER(unsigned, generation, 5); }
int nvmlDeviceGetMaxPcieLinkWidth(struct device *d, unsigned *width) { WHOLE(d); ANSWER(unsigned, width, 16); }

int nvmlDeviceGetEccMode(struct device *d, unsigned *current, unsigned *pending)
{
    WHOLE(d);
    *current = *pending = 1;
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(struct device *d, int *major, int *minor)
{
    DEVICE(d);
    *major = 9;
    *minor = 0;
    return SUCCESS;
}

struct pci { char legacy[16]; unsigned domain, bus, device, ids, subsystem; char id[32]; };

int nvmlDeviceGetPciInfo_v3(struct device *d, struct pci *pci)
{
    DEVICE(d);
    memset(pci, 0, sizeof *pci);
    pci->bus = 6u + (unsigned)d->index;
    snprintf(pci->id, sizeof pci->id, "00000000:%02X:00.0", pci->bus);
    return SUCCESS;
}

struct process { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; };

int nvmlDeviceGetComputeRunningProcesses_v3(struct device *d, unsigned *number, struct process *processes)
{
    unsigned found = 0;
    char list[sizeof set.pids];
    DEVICE(d);
    strcpy(list, d->index == 0 ? set.pids : "");
    FILE *file = d->index == 0 && *set.pids_file ? fopen(set.pids_file, "r") : NULL;
    if (file) {
        list[fread(list, 1, sizeof list - 1, file)] = 0;
        fclose(file);
    }
    for (char *rest = list, *pid; (pid = strtok_r(rest, ",", &rest)); found++)
        if (processes && found < *number)
            processes[found] = (struct process){(unsigned)atol(pid), used(d), ~0u, ~0u};
    int fits = found == 0 || (processes && found <= *number);
    *number = found;
    return fits ? SUCCESS : TOO_SMALL;
}

int nvmlDeviceGetMPSComputeRunningProcesses_v3(struct device *d, unsigned *number, struct process *processes)
{
    (void)processes;
    DEVICE(d);
    *number = 0;
    return SUCCESS;
}

struct field {
    unsigned id, scope;
    long long timestamp, latency;
    int type, result;
    union { double real; unsigned small; unsigned long long big; } value;
};

int nvmlDeviceGetFieldValues(struct device *d, int number, struct field *fields)
{
    WHOLE(d);
    for (int i = 0; i < number; i++) {
        struct field *field = &fields[i];
        char name[32];
        snprintf(name, sizeof name, "field:%u", field->id);
        field->result = listed(set.unsupported, name) ? UNSUPPORTED : SUCCESS;
        field->type = 1;
        field->value.big = 0;
        if (field->id == 186) {
            field->value.small = (unsigned)milliwatts(d);
        } else if (field->id == 82) {
            field->value.small = (unsigned)item(set.temp, d->index) + 5;
        } else if (field->id == 197 || field->id == 198) { /* 1 GB/s out, 2 GB/s in */
            field->type = 3;
            field->value.big = (unsigned long long)((now() - started) * 1e9 * (field->id - 196));
        } else if ((field->id == 138 || field->id == 139) && nvlinks && field->scope == ~0u) { /* 3 GB/s out, 6 GB/s in */
            field->type = 3;
            field->value.big = (unsigned long long)((now() - started) * 3e9 * (field->id - 137) / 1024);
        } else {
            field->result = UNSUPPORTED;
        }
    }
    return SUCCESS;
}

int nvmlDeviceGetNvLinkState(struct device *d, unsigned link, unsigned *active)
{
    WHOLE(d);
    if (!nvlinks)
        return UNSUPPORTED;
    if (link >= (unsigned)nvlinks)
        return INVALID;
    *active = link > 0;
    return SUCCESS;
}
