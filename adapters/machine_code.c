/* What is done to each tick, as machine code: frames, packets, ticks, the last-price table, bars.

   Each function does what its plain sister in Python does, for input in perfect order; the first
   oddity (a cut, an unknown kind, a doubtful value) gives ODD, nothing of it kept, and the plain
   sister does that part, counts and explains. `make machine-code` compiles this file; offsets and
   limits come from the Python modules as -D words (adapters/compile_machine_code.py). */

#include <stdint.h>
#include <string.h>

#define ODD (-1)     /* not in perfect order: the plain sister's */
#define SHORT (-2)   /* a frame that has not wholly come */
#define FULL (-3)    /* no room for its packets */
#define ALL_ODD (-4) /* and so is all before it */
#define WHOLE_BINARY 0x82
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define ABSENT INT64_MIN
#define NO_ROW 0xFFFFFFFFll
#define SECOND_NS 1000000000ll
#define MILLISECOND_NS 1000000ll
#define MINUTE_NS (60 * SECOND_NS)
#define UNKNOWN (-1) /* a cumulative volume nobody has told yet */
#define FINE_BELOW 131072.0    /* as adapters.dhan.prices */
#define SHORT_BELOW 16777216.0 /* whole below it: a float32 holds each whole number */
#define DECIMALS_MAX 10
#define AHEAD 24 /* ticks whose rows are fetched before they are needed */
#define EXACT_MAX 9007199254740992.0
#define WHOLE_FROM 4503599627370496.0 /* a double of 2^52 and more has no fraction */

const char machine_code_source[] = SOURCE;

typedef const uint8_t *bytes;

static uint16_t two(bytes at) { uint16_t v; memcpy(&v, at, 2); return v; }
static uint32_t four(bytes at) { uint32_t v; memcpy(&v, at, 4); return v; }
static int64_t eight(bytes at) { int64_t v; memcpy(&v, at, 8); return v; }
static float single(bytes at) { float v; memcpy(&v, at, 4); return v; }
static double twice(bytes at) { double v; memcpy(&v, at, 8); return v; }
static int64_t big(bytes at) { return __builtin_bswap32(four(at)); }
static int64_t moment(int64_t epoch, int64_t unit_ns) { return epoch ? epoch * unit_ns : ABSENT; }
static double size_of(double value) { return value < 0 ? -value : value; }

static double nearest(double value) {
    if (!(size_of(value) < WHOLE_FROM)) return value;
    return value < 0 ? (value - WHOLE_FROM) + WHOLE_FROM : (value + WHOLE_FROM) - WHOLE_FROM;
}

static void touch(const void *record, int64_t size) {
    __builtin_prefetch(record, 1);
    __builtin_prefetch((const char *)record + size - 1, 1);
}

static void blank(int64_t *row, int from, int to) {
    for (int word = from; word < to; word++) row[word] = ABSENT;
}

/* -- tokens: the pages of adapters.token_table -- */

int64_t rows_of(int64_t *rows, int64_t count, int64_t shift, const int64_t *limits,
                const int64_t *bases, const int32_t *directory, const int32_t *pages) {
    for (int64_t place = 0; place < count; place++) {
        int64_t *row = rows + place * WORDS;
        int64_t segment = (row[0] >> 48) & 0xFFFF, token = row[TOKEN] >> shift, page = 0;
        if (token >= 0 && segment < SEGMENTS_MAX && token < limits[segment])
            page = directory[bases[segment] + (token >> PAGE_BITS)];
        else
            token = 0;
        uint32_t found = (uint32_t)pages[page << PAGE_BITS | (token & ((1 << PAGE_BITS) - 1))];
        row[0] = (row[0] & ~NO_ROW) | found;
    }
    return count;
}

/* -- Kite: adapters.kite.mapping; big-endian, many packets a message -- */

static int kite_index(bytes at, int64_t *row, int has_time) {
    static const int words[5] = {LAST_PRICE, HIGH, LOW, OPEN, CLOSE};
    blank(row, LAST_PRICE, WORDS);
    row[TOKEN] = big(at);
    for (int n = 0; n < 5; n++) {
        row[words[n]] = big(at + 4 + 4 * n);
        if (row[words[n]] > INT32_MAX) return 0;
    }
    if (has_time) row[EXCHANGE] = moment(big(at + 28), SECOND_NS);
    return 1;
}

static int kite_packet(bytes at, int length, int64_t *row, int64_t received_ns) {
    static const int priced[5] = {AVG_PRICE, OPEN, HIGH, LOW, CLOSE};
    int kind = length == 184 ? 3 : length == 44 ? 2 : length == 8 ? 1 : length == 28 ? 4 : 5;
    if (kind > 3) {
        if (!kite_index(at, row, kind == 5)) return 0;
    } else {
        int filled = kind == 3 ? BIDS : kind == 2 ? LAST_TRADE : LAST_QTY;
        for (int word = TOKEN; word < filled; word++) row[word] = big(at + 4 * (word - TOKEN));
        blank(row, kind == 3 ? LIMITS : filled, WORDS);
        if (row[LAST_PRICE] > INT32_MAX) return 0;
        for (int n = 0; kind > 1 && n < 5; n++)
            if (row[priced[n]] > INT32_MAX) return 0;
        if (kind == 3) {
            for (int n = 0; n < 10; n++) {
                bytes entry = at + 64 + 12 * n;
                int64_t *level = row + BIDS + 3 * n;
                level[0] = big(entry);
                level[1] = big(entry + 4);
                level[2] = big(entry + 8) >> 16;
                if (level[1] > INT32_MAX) return 0;
            }
            row[LAST_TRADE] = moment(row[LAST_TRADE], SECOND_NS);
            row[EXCHANGE] = moment(row[EXCHANGE], SECOND_NS);
        }
    }
    int64_t segment = row[TOKEN] & 0xFF;
    row[0] = NO_ROW | (int64_t)kind << 32 | segment << 48;
    row[DIVISOR] = segment == 3 ? 10000000 : segment == 6 || segment == 12 ? 10000 : 100;
    row[RECEIVED] = received_ns;
    return 1;
}

ALWAYS_INLINE int64_t kite_message(bytes at, int64_t size, int64_t *rows, int64_t room,
                                   int64_t received_ns, int64_t shift_s) {
    if (size < 2) return 0; /* a heartbeat */
    int64_t count = at[0] << 8 | at[1], from = 2;
    if (count > room) return FULL;
    for (int64_t place = 0; place < count; place++) {
        if (from + 2 > size) return ODD;
        int length = at[from] << 8 | at[from + 1];
        from += 2;
        if (length != 184 && length != 44 && length != 8 && length != 28 && length != 32)
            return ODD;
        if (from + length > size) return ODD;
        if (!kite_packet(at + from, length, rows + place * WORDS, received_ns)) return ODD;
        from += length;
    }
    return from == size ? count : ODD;
}

/* -- SmartAPI: adapters.smartapi.mapping; one packet a message -- */

static int64_t digits(bytes at) {
    int64_t number = 0;
    for (int place = 0; place <= TOKEN_DIGITS_MAX; place++) {
        int digit = at[place] - '0';
        if (!at[place]) return place ? number : ODD;
        if (digit < 0 || digit > 9 || (place && !number)) return ODD;
        number = number * 10 + digit;
    }
    return ODD;
}

static int best(bytes at, int64_t *row) {
    int bids = 0, asks = 0;
    for (int n = 0; n < 10; n++, at += 20) {
        int flag = two(at);
        int64_t *level;
        if (flag == 1 && bids < 5) level = row + BIDS + 3 * bids++;
        else if (flag == 0 && asks < 5) level = row + ASKS + 3 * asks++;
        else return 0;
        level[0] = eight(at + 2);
        level[1] = eight(at + 10);
        level[2] = two(at + 18);
    }
    return 1;
}

ALWAYS_INLINE int64_t smartapi_message(bytes at, int64_t size, int64_t *row, int64_t room,
                                       int64_t received_ns, int64_t shift_s) {
    if (!room) return FULL;
    if (size != 379 && size != 123 && size != 51) return ODD;
    int mode = size == 379 ? 3 : size == 123 ? 2 : 1;
    if (at[0] != mode) return ODD;
    blank(row, mode < 3 ? LAST_PRICE : LIMITS, WORDS);
    row[0] = NO_ROW | (int64_t)mode << 32 | (int64_t)at[1] << 48;
    row[DIVISOR] = at[1] == 13 ? 10000000 : 100;
    row[RECEIVED] = received_ns;
    row[TOKEN] = digits(at + 2);
    int64_t stamp_ms = eight(at + 35);
    if (row[TOKEN] < 0 || stamp_ms < 0 || stamp_ms > INT64_MAX / MILLISECOND_NS) return ODD;
    row[SEQUENCE] = eight(at + 27);
    row[LAST_PRICE] = eight(at + 43);
    if (mode > 1) {
        for (int word = LAST_QTY; word < LAST_TRADE; word++)
            row[word] = eight(at + 51 + 8 * (word - LAST_QTY));
        for (int word = BUY_QTY; word <= SELL_QTY; word++) {
            double total = twice(at + 51 + 8 * (word - LAST_QTY));
            if (!(size_of(total) <= EXACT_MAX) || total != nearest(total)) return ODD;
            row[word] = (int64_t)total;
        }
    }
    if (mode == 3) {
        int64_t traded_s = eight(at + 123);
        if (traded_s < 0 || traded_s > INT64_MAX / SECOND_NS || !best(at + 147, row)) return ODD;
        row[LAST_TRADE] = moment(traded_s, SECOND_NS);
        row[OI] = eight(at + 131);
        row[OI_HIGH] = row[OI_LOW] = ABSENT;
        memcpy(row + LIMITS, at + 347, 32);
    }
    row[EXCHANGE] = moment(stamp_ms, MILLISECOND_NS);
    return 1;
}

/* -- Dhan: adapters.dhan.mapping; a packet a message or a few, prices as float32 -- */

#define DHAN_PRICES 16 /* last, average, the day's four, five bids, five asks */
#define FIRST_BID 6
#define FIRST_ASK 11

static const double powers[DECIMALS_MAX + 1] = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10};
static const int64_t whole_powers[DECIMALS_MAX + 1] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000};

/* 2^52 and half as much again, added to a smaller number, holds its nearest whole in its bits. */
static inline int hundredths(const float *prices, int count, int64_t *wholes) {
    const double holder = 1.5 * WHOLE_FROM;
    int64_t usual = 1, base;
    memcpy(&base, &holder, 8);
    for (int n = 0; n < count; n++) {
        double price = prices[n], held = price * 100.0 + holder;
        usual &= (size_of(price) < FINE_BELOW) & ((float)((held - holder) * 0.01) == prices[n]);
        memcpy(wholes + n, &held, 8);
        wholes[n] -= base;
    }
    return usual;
}

static int64_t decimals(const float *prices, int count, int64_t *wholes) {
    int needs[DHAN_PRICES], most = 2;
    for (int n = 0; n < count; n++) {
        float price = prices[n];
        if (!(size_of(price) < SHORT_BELOW)) return 0;
        needs[n] = -1;
        for (int d = size_of(price) < FINE_BELOW ? 2 : 0; d <= DECIMALS_MAX; d++) {
            double candidate = nearest((double)price * powers[d]);
            if ((float)(candidate / powers[d]) != price) continue;
            wholes[n] = (int64_t)candidate;
            needs[n] = d;
            break;
        }
        if (needs[n] < 0) return 0;
        if (needs[n] > most) most = needs[n];
    }
    for (int n = 0; n < count; n++) wholes[n] *= whole_powers[most - needs[n]];
    return whole_powers[most];
}

ALWAYS_INLINE int dhan_prices(bytes at, int code, int64_t *row) {
    float prices[DHAN_PRICES] = {0};
    int64_t wholes[DHAN_PRICES];
    int has_book = code == 3 || code == 8, has_day = code == 4 || code == 8;
    int count = has_book ? DHAN_PRICES : has_day ? FIRST_BID : 1;
    bytes book = at + (code == 8 ? 62 : 12);
    prices[0] = single(at + 8);
    if (has_day) {
        prices[1] = single(at + 18);
        memcpy(prices + 2, at + (code == 8 ? 46 : 34), 16);
    }
    for (int n = 0; has_book && n < 5; n++) {
        prices[FIRST_BID + n] = single(book + 20 * n + 12);
        prices[FIRST_ASK + n] = single(book + 20 * n + 16);
    }
    row[DIVISOR] = hundredths(prices, count, wholes) ? 100 : decimals(prices, count, wholes);
    row[code == 6 ? CLOSE : LAST_PRICE] = wholes[0];
    if (has_day) {
        row[AVG_PRICE] = wholes[1];
        row[OPEN] = wholes[2];
        row[CLOSE] = wholes[3];
        row[HIGH] = wholes[4];
        row[LOW] = wholes[5];
    }
    for (int n = 0; has_book && n < 5; n++, book += 20) {
        int64_t *bid = row + BIDS + 3 * n, *ask = row + ASKS + 3 * n;
        bid[0] = four(book);
        ask[0] = four(book + 4);
        bid[1] = wholes[FIRST_BID + n];
        ask[1] = wholes[FIRST_ASK + n];
        bid[2] = two(book + 8);
        ask[2] = two(book + 10);
    }
    return row[DIVISOR] != 0;
}

ALWAYS_INLINE int64_t dhan_packet(bytes at, int code, int64_t *row, int64_t received_ns,
                                  int64_t shift_s) {
    static const uint8_t kinds[9] = {0, 0, 1, 6, 2, 9, 10, 0, 3};
    int has_book = code == 3 || code == 8;
    blank(row, LAST_PRICE, has_book ? BIDS : WORDS);
    if (has_book) blank(row, LIMITS, WORDS);
    row[0] = NO_ROW | (int64_t)kinds[code] << 32 | (int64_t)at[3] << 48;
    row[DIVISOR] = 100;
    row[RECEIVED] = received_ns;
    row[TOKEN] = (int32_t)four(at + 4);
    if (code == 4 || code == 8) {
        row[LAST_QTY] = two(at + 12);
        row[VOLUME] = four(at + 22);
        row[SELL_QTY] = four(at + 26);
        row[BUY_QTY] = four(at + 30);
    }
    if (code == 8) {
        row[OI] = four(at + 34);
        row[OI_HIGH] = four(at + 38);
        row[OI_LOW] = four(at + 42);
    }
    if (code == 5) row[OI] = four(at + 8);
    if (code == 6) row[PREV_OI] = four(at + 12);
    if (code == 2 || code == 4 || code == 8) {
        int64_t raw = four(at + (code == 2 ? 12 : 14)), ahead_s = raw - received_ns / SECOND_NS;
        if (!shift_s && ahead_s >= IST_SHIFT_S - SHIFT_WITHIN_S &&
            ahead_s <= IST_SHIFT_S + SHIFT_WITHIN_S)
            return ALL_ODD;
        if (raw > 0 && raw <= shift_s) return ODD;
        row[RAW] = raw;
        row[LAST_TRADE] = raw ? (raw - shift_s) * SECOND_NS : ABSENT;
    }
    return code == 5 || dhan_prices(at, code, row) ? 1 : ODD;
}

ALWAYS_INLINE int64_t dhan_message(bytes at, int64_t size, int64_t *rows, int64_t room,
                                   int64_t received_ns, int64_t shift_s) {
    static const uint8_t sizes[9] = {0, 0, 16, 112, 50, 12, 16, 0, 162};
    int64_t count = 0, made;
    for (; size > 0; count++, rows += WORDS) {
        if (size < 8 || at[0] > 8 || !sizes[at[0]]) return ODD;
        int length = sizes[at[0]], told = two(at + 1);
        if (size < length || (told != length && told >= 8)) return ODD;
        if (count == room) return FULL;
        switch (at[0]) {
            case 8: made = dhan_packet(at, 8, rows, received_ns, shift_s); break;
            case 4: made = dhan_packet(at, 4, rows, received_ns, shift_s); break;
            default: made = dhan_packet(at, at[0], rows, received_ns, shift_s);
        }
        if (made < 0) return made;
        at += length;
        size -= length;
    }
    return count;
}

/* -- frames: adapters.packet_reader; RFC 6455, 5.2, as a server sends them -- */

static int64_t begin_of(bytes at, int64_t size, int64_t *length) {
    if (size < 2) return SHORT;
    if (at[0] != WHOLE_BINARY || at[1] > 127) return ODD;
    int64_t begin = at[1] < 126 ? 2 : at[1] == 126 ? 4 : 10;
    if (size < begin) return SHORT;
    *length = at[1];
    if (begin == 4) *length = at[2] << 8 | at[3];
    if (begin == 10) *length = big(at + 2) ? INT32_MAX : big(at + 6);
    if (*length > MESSAGE_BYTES_MAX) return ODD;
    return begin + *length > size ? SHORT : begin;
}

typedef int64_t (*Message)(bytes, int64_t, int64_t *, int64_t, int64_t, int64_t);
typedef struct { int64_t used, frames, end; } Walked;

ALWAYS_INLINE int64_t walk(Message decoded, bytes wire, int64_t size, int64_t *rows, int64_t room,
                           int64_t received_ns, int64_t shift_s, Walked *walked) {
    int64_t at = 0, frames = 0, made = 0, length = 0, end;
    for (;; frames++) {
        int64_t begin = end = begin_of(wire + at, size - at, &length);
        if (begin < 0) break;
        end = decoded(wire + at + begin, length, rows + made * WORDS, room - made, received_ns,
                      shift_s);
        if (end < 0) break;
        made += end;
        at += begin + length;
    }
    if (end == ALL_ODD) at = frames = made = 0;
    *walked = (Walked){at, frames, end};
    return made;
}

#define BROKER(name) \
    int64_t name(bytes wire, int64_t size, int64_t *rows, int64_t room, int64_t received_ns, \
                 int64_t shift_s, Walked *walked) { \
        return walk(name##_message, wire, size, rows, room, received_ns, shift_s, walked); \
    }
BROKER(kite)
BROKER(smartapi)
BROKER(dhan)

/* -- ticks: adapters.packet_ticks, and what the house believes of them -- */

typedef struct __attribute__((packed)) {
    uint32_t listing;
    uint8_t mode;
    int64_t ts_ns, received_ns;
    double ltp, bid, ask;
    int64_t bid_quantity, ask_quantity, volume, open_interest;
    double iv;
} Tick;

static void side_of(const int64_t *level, double divisor, double *price, int64_t *quantity) {
    double best_price = (double)level[1] / divisor;
    int there = level[0] > 0 && best_price > 0 && best_price <= PRICE_MAX;
    *price = there ? best_price : __builtin_nan("");
    *quantity = there ? level[0] : -1;
}

int64_t ticks_of(const int64_t *rows, int64_t count, Tick *ticks, const uint8_t *modes) {
    int64_t made = 0;
    for (int64_t place = 0; place < count; place++) {
        const int64_t *row = rows + place * WORDS;
        int mode = modes[row[0] >> 32 & 0xFFFF];
        if (!mode) continue;
        Tick tick;
        double divisor = (double)row[DIVISOR];
        int32_t listing = (int32_t)row[0];
        tick.listing = (uint32_t)listing;
        tick.mode = (uint8_t)mode;
        tick.received_ns = row[RECEIVED];
        tick.ts_ns = row[EXCHANGE] != ABSENT ? row[EXCHANGE]
            : row[LAST_TRADE] != ABSENT ? row[LAST_TRADE] : row[RECEIVED];
        tick.ltp = (double)row[LAST_PRICE] / divisor;
        double bid, ask;
        int64_t bid_quantity, ask_quantity;
        side_of(row + BIDS, divisor, &bid, &bid_quantity);
        side_of(row + ASKS, divisor, &ask, &ask_quantity);
        tick.bid = bid;
        tick.ask = ask;
        tick.bid_quantity = bid_quantity;
        tick.ask_quantity = ask_quantity;
        tick.volume = row[VOLUME] > -1 ? row[VOLUME] : -1;
        tick.open_interest = row[OI] > -1 ? row[OI] : -1;
        tick.iv = __builtin_nan("");
        if (listing < 0 || !(tick.ltp > 0 && tick.ltp <= PRICE_MAX)) return ODD;
        if (tick.ts_ns < EARLIEST_NS || tick.ts_ns - tick.received_ns > FUTURE_MAX_NS) return ODD;
        ticks[made++] = tick;
    }
    return made;
}

/* -- the last-price table: adapters.price_table, one tick after another -- */

static const Tick unseen = {.ltp = __builtin_nan(""), .bid = __builtin_nan(""),
    .ask = __builtin_nan(""), .iv = __builtin_nan(""), .bid_quantity = -1, .ask_quantity = -1,
    .volume = -1, .open_interest = -1};

static void keep(Tick *tick, const Tick *stood) {
    if (!(tick->ltp > 0)) {
        tick->mode = stood->mode;
        tick->ts_ns = stood->ts_ns;
        tick->received_ns = stood->received_ns;
        tick->ltp = stood->ltp;
    }
    if (tick->bid != tick->bid) tick->bid = stood->bid;
    if (tick->ask != tick->ask) tick->ask = stood->ask;
    if (tick->iv != tick->iv) tick->iv = stood->iv;
    if (tick->bid_quantity < 0) tick->bid_quantity = stood->bid_quantity;
    if (tick->ask_quantity < 0) tick->ask_quantity = stood->ask_quantity;
    if (tick->volume < 0) tick->volume = stood->volume;
    if (tick->open_interest < 0) tick->open_interest = stood->open_interest;
}

int64_t write_prices(const Tick *ticks, int64_t count, const int32_t *row_of, int64_t *versions,
                     Tick *slots) {
    for (int64_t place = 0; place < count; place++)
        if (ticks[place].listing >= LISTINGS_MAX || !row_of[ticks[place].listing]) return ODD;
    for (int64_t place = 0; place < count; place++) {
        if (place + AHEAD < count) {
            int64_t row = row_of[ticks[place + AHEAD].listing] - 1;
            touch(versions + row, sizeof *versions);
            touch(slots + 2 * row, sizeof *slots);
            touch(slots + 2 * row + 1, sizeof *slots);
        }
        int64_t row = row_of[ticks[place].listing] - 1, version = versions[row];
        Tick tick = ticks[place];
        keep(&tick, version ? slots + 2 * row + (version & 1) : &unseen);
        slots[2 * row + ((version + 1) & 1)] = tick;
        __atomic_store_n(versions + row, version + 1, __ATOMIC_RELEASE);
    }
    return count;
}

int64_t read_prices(const int64_t *rows, int64_t count, const int64_t *versions, const Tick *slots,
                    Tick *ticks) {
    for (int64_t place = 0; place < count; place++) {
        const int64_t *at = versions + rows[place];
        for (int tries = 0;; tries++) {
            if (tries == READS_MAX) return ODD;
            int64_t version = __atomic_load_n(at, __ATOMIC_ACQUIRE);
            ticks[place] = version ? slots[2 * rows[place] + (version & 1)] : unseen;
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (__atomic_load_n(at, __ATOMIC_RELAXED) == version) break;
        }
    }
    return count;
}

/* -- bars of a minute: domain.market.bars, the rules tick by tick -- */

typedef struct {
    int64_t baseline, newest_ts, previous_ts;
    double previous_ltp;
    int64_t previous_cum;
} State;
typedef struct {
    int64_t count, open_ts, close_ts;
    double open, high, low, close;
    int64_t volume;
} Bar;
typedef struct {
    const int32_t *row_of;
    int64_t listings;
    State *state;
    Bar *minutes[2];
    int64_t *counts, open_from_ns, next_from_ns, opens_ns, closes_ns, day_starts_ns, due_ns,
        ahead_max_ns;
} Bars;
enum { UNKNOWN_SYMBOL, BAD_PRICE, FUTURE, DUPLICATE, OUT_OF_SESSION, LATE, ACCEPTED, VOLUME_RESET };

static int64_t added(State *state, const Tick *tick, int64_t *counts) {
    int64_t cum = tick->volume, stood = state->baseline;
    if (cum < 0) return 0;
    if (stood == UNKNOWN || (cum < stood && tick->ts_ns >= state->newest_ts)) {
        state->baseline = cum;
        counts[VOLUME_RESET] += stood != UNKNOWN;
        return 0;
    }
    if (cum < stood) return 0;
    state->baseline = cum;
    return cum - stood;
}

static void put(Bar *bar, const Tick *tick, int64_t volume) {
    double ltp = tick->ltp;
    if (tick->ts_ns < bar->open_ts) bar->open_ts = tick->ts_ns, bar->open = ltp;
    if (tick->ts_ns >= bar->close_ts) bar->close_ts = tick->ts_ns, bar->close = ltp;
    if (ltp > bar->high) bar->high = ltp;
    if (ltp < bar->low) bar->low = ltp;
    bar->volume += volume;
    bar->count++;
}

static int64_t row_in(const Bars *bars, uint32_t listing) {
    int64_t last = bars->listings - 1;
    return bars->row_of[listing < last ? listing : last];
}

static int fold(const Tick *tick, const Bars *bars) {
    int64_t ts = tick->ts_ns, cum = tick->volume, row = row_in(bars, tick->listing);
    if (row < 0) return UNKNOWN_SYMBOL;
    if (!(tick->ltp > 0)) return BAD_PRICE;
    if (ts > tick->received_ns + bars->ahead_max_ns) return FUTURE;
    State *state = bars->state + row;
    if (ts == state->previous_ts && tick->ltp == state->previous_ltp && cum == state->previous_cum)
        return DUPLICATE;
    state->previous_ts = ts;
    state->previous_ltp = tick->ltp;
    state->previous_cum = cum;
    if (ts < bars->opens_ns || ts >= bars->closes_ns) {
        if (ts >= bars->day_starts_ns && ts < bars->opens_ns && cum > state->baseline)
            state->baseline = cum;
        return OUT_OF_SESSION;
    }
    if (ts < bars->open_from_ns) {
        if (state->baseline == UNKNOWN && cum >= 0) state->baseline = cum;
        return LATE;
    }
    int64_t volume = added(state, tick, bars->counts);
    if (ts > state->newest_ts) state->newest_ts = ts;
    put(bars->minutes[ts >= bars->next_from_ns] + row, tick, volume);
    return ACCEPTED;
}

int64_t fold_bars(const Tick *ticks, int64_t count, const Bars *bars) {
    int64_t newest_ns = INT64_MIN;
    for (int64_t place = 0; place < count; place++) {
        __builtin_prefetch(bars->row_of + ticks[place].listing);
        if (ticks[place].received_ns > newest_ns) newest_ns = ticks[place].received_ns;
    }
    if (newest_ns >= bars->due_ns) return ODD;
    for (int64_t place = 0; place < count; place++) {
        if (place + AHEAD < count) {
            int64_t row = row_in(bars, ticks[place + AHEAD].listing);
            touch(bars->state + row, sizeof(State));
            touch(bars->minutes[0] + row, sizeof(Bar));
        }
        bars->counts[fold(ticks + place, bars)]++;
    }
    return count;
}
