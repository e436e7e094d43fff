/*
** How long capture, drain, apply, release and checkpoint take: single-row transactions on one thread,
** drained every 64 of them.
**
**     bench [transactions]
*/
#include "harness.h"

static int nTxn = 100000;

static void bench(void){
  sqlite3_stmt *p = 0;
  Node A, B;
  u8 *aBuf = malloc(4<<20);
  i64 a[6], aCkpt[5];
  i64 nByte = 0, nPage = 0, nBatch = 0;
  double tTxn = 0, tDrain = 0, tApply = 0, tCheckpoint = 0;
  makeSeed(4096, "NONE");
  openNode(&A, "a");
  openNode(&B, "b");
  lead(&A);
  EXEC(A.s, "CREATE TABLE log(id INTEGER PRIMARY KEY, v)");
  OK(sqlite3_prepare_v2(A.s, "INSERT INTO log(v) VALUES(zeroblob(100))", -1, &p, 0));
  for(int i=0; i<nTxn; ){
    double t = now();
    for(int n=0; n<64; n++, i++){
      CODE(SQLITE_DONE, sqlite3_step(p));
      OK(sqlite3_reset(p));
    }
    tTxn += now()-t;
    t = now();
    OK(sqlite3_wal_replication_drain(A.h, 0, aBuf, 4<<20, a));
    tDrain += now()-t;
    CHECK( a[2]==1 );
    t = now();
    OK(sqlite3_wal_replication_apply(B.h, 0, aBuf, a[0]));
    tApply += now()-t;
    OK(sqlite3_wal_replication_release(A.h, 0, a[3]));
    nByte += a[0];
    nPage += a[1];
    nBatch++;
    if( nBatch%200==0 ){
      t = now();
      OK(sqlite3_wal_replication_checkpoint(A.h, 0, aCkpt));
      OK(sqlite3_wal_replication_checkpoint(B.h, 0, aCkpt));
      tCheckpoint += now()-t;
    }
  }
  OK(sqlite3_finalize(p));
  printf("%d transactions in %lld batches of %.1f pages\n"
         "captured   %8.0f transactions/s\n"
         "drained    %8.2f us per transaction, %.1f us per batch\n"
         "applied    %8.0f transactions/s, %.1f us per batch\n"
         "checkpoint %8.1f ms each\n",
         nTxn, nBatch, (double)nPage/(double)nBatch, nTxn/tTxn, tDrain*1e6/nTxn,
         tDrain*1e6/(double)nBatch, nTxn/tApply, tApply*1e6/(double)nBatch,
         nBatch<400 ? tCheckpoint*1e3 : tCheckpoint*1e3/(double)(nBatch/200)/2);

  /* One batch for each transaction: what a lone client sees. */
  tTxn = tDrain = tApply = 0;
  OK(sqlite3_prepare_v2(A.s, "INSERT INTO log(v) VALUES(zeroblob(100))", -1, &p, 0));
  for(int i=0; i<nTxn/10; i++){
    double t0 = now(), t1, t2;
    CODE(SQLITE_DONE, sqlite3_step(p));
    OK(sqlite3_reset(p));
    t1 = now();
    OK(sqlite3_wal_replication_drain(A.h, 0, aBuf, 4<<20, a));
    t2 = now();
    OK(sqlite3_wal_replication_apply(B.h, 0, aBuf, a[0]));
    tApply += now()-t2;
    tDrain += t2-t1;
    tTxn += t1-t0;
    OK(sqlite3_wal_replication_release(A.h, 0, a[3]));
  }
  OK(sqlite3_finalize(p));
  printf("one by one: commit %.1f us, drain %.1f us, apply %.1f us\n",
         tTxn*1e7/nTxn, tDrain*1e7/nTxn, tApply*1e7/nTxn);
  checkIdentical(&A, &B);
  closeNode(&A);
  closeNode(&B);
  free(aBuf);
}

int main(int argc, char **argv){
  static const Case aCase[] = { { "bench", bench }, { 0, 0 } };
  if( argc>1 ) nTxn = atoi(argv[1]);
  runCases(0, 0, aCase);
  return 0;
}
