/* A domain that moves between the source and a store, and back: who may write, and where every row is.

   Daemons die, freeze and are displaced between any two effects; connections are lost before or after an effect has
   come about; either database fails over; the gate's time runs out. What each daemon does is what cutover/driver.py
   does: phases in the control store under a fence, compare-and-set on the source's gate row, privileges in the store.

   Checked by Spin (tests/integration/test_promela.py): never two sides that take writes, never an acknowledged row that
   the serving side lacks, no deadlock (a stuck daemon), and with -DLIVENESS that every run comes to a rest.
   LOSSY lets a failover of the source forget its last commit: an assumption of the design where no replica is named,
   and the model says why. REPLICA has a replica that follows at any distance and takes the source's place, as it is
   then: a domain moves only when the replica has what the move rests on. Rows that the source had acknowledged and its
   replica not are the failover's loss, not ours. */

#ifndef ROWS
#define ROWS 2
#endif
#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef MOVES
#define MOVES 2
#endif

mtype = { PREPARED, CUTTING_OVER, ABORTING, SWITCHING, LIVE, ROLLING_BACK, RESTORING, RETURNING };

/* control store */
mtype phase = PREPARED;
byte epoch = 0;
byte fence = 0;

/* source: the gate row, rows as bits, a transaction in flight that holds the gate row's shared lock */
byte gate_epoch = 0;
bool closed = false;
bool final = false;
bool expired = false;
byte source = 0;
byte source_open_row = 0;

/* store */
bool store_open = false;
byte store = 0;
byte store_open_row = 0;
bool slot_lost = false;
bool sending_back = false;

byte acknowledged = 0;
byte next_row = 1;
byte faults = FAULTS;
byte moves = MOVES;
byte daemons = 0;
byte alive = 0;

#define REFUSES (closed && (final || !expired))
#define SOURCE_TAKES (!REFUSES)
#define AT_REST (phase == PREPARED || phase == LIVE)
#define LACKS(rows, side) ((rows) & ~(side))

#ifdef LOSSY
byte old_gate_epoch = 0; bool old_closed = false; bool old_final = false; byte old_source = 0;
#define COMMITS old_gate_epoch = gate_epoch; old_closed = closed; old_final = final; old_source = source
#else
#define COMMITS skip
#endif

#ifdef REPLICA
byte replica_epoch = 0; bool replica_closed = false; bool replica_final = false; byte replica = 0;
byte by_source = 0;
#define SAME_GATE (replica_epoch == gate_epoch && replica_closed == closed && replica_final == final)
#define REPLICATED (SAME_GATE && replica == source)
#define REPLICA_CLOSED (replica_final && replica_epoch >= mine)
#define REPLICA_OPEN (replica_epoch >= mine)
#define REPLICA_LATER (replica_epoch > mine)
#define REPLICA_LACKS(rows) LACKS(rows, replica)
#else
#define REPLICA_CLOSED true
#define REPLICA_OPEN true
#define REPLICA_LATER true
#define REPLICA_LACKS(rows) false
#endif

#define TWO_SIDES (SOURCE_TAKES && store_open)
#define LOST ((store_open && LACKS(acknowledged, store)) || (SOURCE_TAKES && LACKS(acknowledged, source)))

#ifdef LIVENESS
ltl comes_to_rest { [] <> AT_REST }
#else
/* Stops the search at the first state that must not be. */
active proctype Observer() {
end:
  atomic { (TWO_SIDES || LOST) -> assert(!TWO_SIDES); assert(!LOST) }
}
#endif

/* An application: writes wherever it is let in, and counts only what was acknowledged. */
active proctype Application() {
end:
  do
  :: atomic { next_row <= ROWS && SOURCE_TAKES && !source_open_row ->
       source_open_row = 1 << (next_row - 1); next_row++ }
  :: atomic { source_open_row ->
       COMMITS; source = source | source_open_row; acknowledged = acknowledged | source_open_row;
#ifdef REPLICA
       by_source = by_source | source_open_row;
#endif
       source_open_row = 0 }
  :: atomic { next_row <= ROWS && store_open && !store_open_row ->
       store_open_row = 1 << (next_row - 1); next_row++ }
  :: atomic { store_open_row ->
       store = store | store_open_row; acknowledged = acknowledged | store_open_row; store_open_row = 0 }
  od
}

/* Both streams: exactly once by the checkpoint and progress rows, so a row is simply there or not yet. */
active proctype Streams() {
end:
  do
  :: atomic { LACKS(source, store) -> store = store | source }
  :: atomic { sending_back && !slot_lost && LACKS(store, source) -> COMMITS; source = source | store }
  od
}

/* What happens to the servers. A failover ends transactions in flight; nobody had acknowledged them. */
active proctype Misfortune() {
end:
  do
  :: atomic { closed && !expired -> expired = true }
  :: atomic { faults > 0 -> faults--; source_open_row = 0;
#ifdef LOSSY
       gate_epoch = old_gate_epoch; closed = old_closed; final = old_final; source = old_source
#endif
#ifdef REPLICA
       acknowledged = acknowledged & ~(by_source & ~replica);
       gate_epoch = replica_epoch; closed = replica_closed; final = replica_final; source = replica
#endif
     }
  :: atomic { faults > 0 -> faults--; store_open_row = 0; if :: slot_lost = true :: skip fi }
  od
}

#ifdef REPLICA
/* In the order of the binlog, so what is there is everything up to some commit: the last one, or what was before. */
active proctype Replication() {
end:
  do
  :: atomic { !REPLICATED ->
       replica_epoch = gate_epoch; replica_closed = closed; replica_final = final; replica = source }
  od
}
#endif

/* A new daemon when none lives, or though one does: then the old one is displaced, and may go on later. */
active proctype Operator() {
  atomic { alive++; daemons++; run Daemon(daemons) }
end:
  do
  :: atomic { alive == 0 -> alive++; daemons++; run Daemon(daemons) }
  :: atomic { alive == 1 && faults > 0 -> faults--; alive++; daemons++; run Daemon(daemons) }
  od
}

/* A write to the control store or a store, under the fence. Or the daemon dies before it. */
#define CONTROL(change) \
  atomic { if :: fence == me -> change :: fence != me -> goto gone :: faults > 0 -> faults--; goto gone fi }
/* An effect on the source: its answer may be lost, before or after it has come about; or the daemon dies before it. */
#define SOURCE(change, lost) \
  atomic { if \
    :: change \
    :: faults > 0 -> faults--; goto lost \
    :: faults > 0 -> faults--; change; goto lost \
    :: faults > 0 -> faults--; goto gone \
    fi }

proctype Daemon(byte me) {
  byte was, mine, marker;
  bool won, doubt;

  atomic { fence = me; mine = epoch }

settle:
  atomic {
    mine = epoch; was = 0; marker = 0; won = false; doubt = true; /* what another daemon began may still come about */
    if
    :: phase == CUTTING_OVER || phase == ABORTING -> goto undo_cutover
    :: phase == SWITCHING -> goto finish_cutover
    :: phase == ROLLING_BACK || phase == RESTORING -> goto undo_rollback
    :: phase == RETURNING -> goto finish_rollback
    :: else
    fi
  }

idle:
  if
  :: atomic { moves > 0 && fence == me && phase == PREPARED ->
       moves--; was = gate_epoch; mine = (epoch > was -> epoch : was) + 1; phase = CUTTING_OVER; epoch = mine }
     goto cut_over
  :: atomic { moves > 0 && fence == me && phase == LIVE && !slot_lost ->
       moves--; was = gate_epoch; mine = (epoch > was -> epoch : was) + 1; phase = ROLLING_BACK; epoch = mine }
     goto roll_back
  :: atomic { fence != me -> goto gone }
  :: atomic { faults > 0 -> faults--; goto gone }
  :: atomic { moves == 0 && fence == me -> goto rest }
  :: atomic { phase == LIVE && slot_lost && fence == me -> goto rest }
  fi;

cut_over: /* close: one UPDATE that returns when no transaction holds the gate row */
  if
  :: SOURCE(!source_open_row ->
       if :: gate_epoch == was && !final -> COMMITS; gate_epoch = mine; closed = true; expired = false :: else fi,
       undo_cutover)
  :: goto undo_cutover /* writers took too long */
  fi;
  if :: !(gate_epoch == mine && closed) -> goto undo_cutover :: else fi;
  marker = source;
  if
  :: !LACKS(marker, store) /* the checkpoint rows have passed the marker */
  :: goto undo_cutover /* it took too long */
  fi;
no_return:
  SOURCE(if :: gate_epoch == mine && closed && !final && !expired -> COMMITS; final = true :: else fi, undo_cutover);

undo_cutover: /* the gate row decides: past the point of no return it is finished */
  SOURCE(won = !(gate_epoch <= mine && !(gate_epoch == mine && closed && final));
         if :: !won -> COMMITS; gate_epoch = mine + 1; closed = false; final = false :: else fi;
         won = !(gate_epoch == mine + 1 && !closed), undo_cutover);
  if
  :: won && REPLICA_CLOSED -> goto finish_cutover
  :: won && !REPLICA_CLOSED -> goto undo_cutover /* asked again, from the row on */
  :: !won
  fi;
  CONTROL(if :: phase == CUTTING_OVER -> phase = ABORTING :: else fi);
  CONTROL(assert(phase == ABORTING); phase = PREPARED; epoch = mine + 1);
  goto settle;

finish_cutover:
  CONTROL(if :: phase == CUTTING_OVER || phase == ABORTING -> phase = SWITCHING :: else fi);
  CONTROL(sending_back = true);
  CONTROL(store_open = true);
  CONTROL(assert(phase == SWITCHING); phase = LIVE);
  goto settle;

roll_back:
  CONTROL(store_open = false; doubt = false);
  if
  :: !store_open_row /* writers in flight have ended */
  :: goto undo_rollback
  fi;
  marker = store;
  if
  :: !LACKS(marker, source) && !REPLICA_LACKS(marker) /* the progress rows have passed the boundary */
  :: goto undo_rollback
  fi;
  SOURCE(if :: gate_epoch == was && closed && final -> COMMITS; gate_epoch = mine; closed = false; final = false
            :: else fi, doubted);
  goto undo_rollback;
doubted:
  doubt = true;

undo_rollback:
  SOURCE(if :: gate_epoch <= mine && !(gate_epoch == mine && !closed) -> COMMITS; gate_epoch = mine + 1 :: else fi;
         won = (gate_epoch == mine && !closed), undo_rollback);
  if
  :: won -> goto finish_rollback
  :: !won && doubt && !REPLICA_LATER && fence == me -> goto undo_rollback /* there too an opening must find nothing */
  :: !won && doubt && !REPLICA_LATER && fence != me -> goto gone
  :: !won && (!doubt || REPLICA_LATER)
  fi;
  CONTROL(if :: phase == ROLLING_BACK -> phase = RESTORING :: else fi);
  CONTROL(store_open = true);
  CONTROL(assert(phase == RESTORING); phase = LIVE; epoch = mine + 1);
  goto settle;

finish_rollback:
  CONTROL(if :: phase == ROLLING_BACK || phase == RESTORING -> phase = RETURNING :: else fi);
keep_open: /* a failover may have lost the opening; no daemon goes on before the replica has it */
  SOURCE(if :: closed && final && gate_epoch < mine -> COMMITS; gate_epoch = mine; closed = false; final = false
            :: else fi, keep_open);
  if :: REPLICA_OPEN :: !REPLICA_OPEN && fence == me -> goto keep_open :: !REPLICA_OPEN && fence != me -> goto gone fi;
  CONTROL(sending_back = false);
  CONTROL(assert(phase == RETURNING); phase = PREPARED);
  goto settle;

rest: /* nothing more to move; it still may die or be displaced */
end:
  if
  :: atomic { fence != me -> goto gone }
  :: atomic { faults > 0 -> faults--; goto gone }
  fi;

gone:
  alive--
}
