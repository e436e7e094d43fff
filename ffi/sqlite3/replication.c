/*
** WAL replication. Included at the end of the amalgamation, where the internals of wal.c and pager.c
** are visible. replication.h documents the interface, README.md the idea and the hooks.
**
** Capturing copies nothing: a captured transaction is a range of frames of the local WAL, from the
** mark before it to its own. A mark is a sequence number and the wal-index header after the commit.
** The marks of a file form a chain, oldest first:
**
**     base       newest state known to be committed and durable; limit of every checkpoint
**     aMark[]    ends of drained batches that were not released
**     pending    newest captured commit that was not drained
**
** Locks, in the order in which they are taken: the WAL's own locks, the mutex of the list, the mutex
** of a file's state. The state's mutex is held while a commit is published, so whoever holds it sees
** marks and wal-index header agree.
*/
#include "replication.h"

#define CHUNK_HEADER_SIZE 16
#define DRAIN_READ_SIZE   (120*1024)  /* xRead takes less than 128 KiB at a time */
#define DIGESTS_KEPT      1024
#define LOCK_TRIES        50
#define LOCK_WAIT_US      20

#define replLoad(P)     __atomic_load_n((P), __ATOMIC_SEQ_CST)
#define replStore(P,V)  __atomic_store_n((P), (V), __ATOMIC_SEQ_CST)

static u32 replGet32(const u8 *a){
  return a[0] | (u32)a[1]<<8 | (u32)a[2]<<16 | (u32)a[3]<<24;
}

#include "replication_hash.c"

typedef struct ReplMark ReplMark;
struct ReplMark {
  i64 iSeq;                  /* Sequence number of the last transaction up to here */
  WalIndexHdr hdr;           /* Wal-index header after it */
  ReplHashList list;         /* In aMark[]: the pages of the batch that ends here */
};

struct WalReplication {
  WalReplication *pNext;     /* Next in replState.pList */
  char *zWal;                /* Full path of the WAL file, the key */
  int nRef;                  /* 1 for the list + 1 per Wal in pWals. Guarded by the list's mutex */
  sqlite3 *pHandle;          /* The controlling connection */
  sqlite3_mutex *mutex;      /* Guards all below that is not atomic or used by the handle only */
  Wal *pWals;                /* Wals of connections that used the file since it is replicated */
  u8 eMode;                  /* Atomic. SQLITE_WAL_REPLICATION_* */
  u8 bRewinding;             /* Atomic. New readers wait, see walReplicationRead() */
  i64 iSeq;                  /* Atomic. Last sequence number given out */
  ReplMark base;
  ReplMark *aMark;
  int nMark;
  int nMarkAlloc;
  u8 bPending;               /* pending is valid */
  u8 bUnsettled;             /* A leadership ended with captured, unreleased transactions */
  ReplMark pending;
  u8 bLimit;                 /* limit is valid */
  WalIndexHdr limit;         /* Newest state that checkpoints may copy, see _limit() */
  i64 nByteMax;              /* Atomic. Limits of a transaction, 0 for none */
  i64 nByteSpace;            /* Atomic. */
  i64 nCaptured;             /* Counters of sqlite3_wal_replication_status() */
  i64 nDrained;
  i64 nApplied;
  i64 nRewind;
  /* The batch being drained: frames aFrame[iFrame..nFrame-1] are still to come. Handle only. */
  u8 bDraining;                 /* aFrame and batch are valid */
  ReplMark batch;
  u32 *aFrame;
  u32 nFrame;
  u32 iFrame;
  u8 *aRead;                 /* Buffer of DRAIN_READ_SIZE bytes, more than one frame */
  ReplHashList drained;      /* The pages that went out so far */
  /* The batch being applied. Handle only. */
  u8 bApply;
  u32 mxApply;               /* Frames in the WAL after the last chunk, to detect interference */
  PgHdr *aPg;
  u32 nPgAlloc;
  ReplHashList applied;      /* The pages that came so far */
  ReplDigest *aDigest;       /* After the last DIGESTS_KEPT batches, by nApplied. Guarded by mutex */
  ReplHashes hashes;         /* Of the state at base, and of the file */
};

/* All replicated files of the process. Guarded by replMutex(), iGeneration atomic. */
static struct {
  WalReplication *pList;
  u32 iGeneration;           /* Goes up when a file enters or leaves pList */
} replState;

static sqlite3_mutex *replMutex(void){
  return sqlite3MutexAlloc(SQLITE_MUTEX_STATIC_VFS3);
}

static WalReplication *replFind(const char *zWal){
  WalReplication *p;
  for(p=replState.pList; p && strcmp(p->zWal, zWal)!=0; p=p->pNext){}
  return p;
}

/* Drops a reference. The list's mutex is held. */
static void replUnref(WalReplication *p){
  int i;
  if( --p->nRef>0 ) return;
  for(i=0; i<p->nMark; i++) replListClear(&p->aMark[i].list);
  replListClear(&p->drained);
  replListClear(&p->applied);
  sqlite3_free(p->aDigest);
  replHashFree(&p->hashes);
  sqlite3_mutex_free(p->mutex);
  sqlite3_free(p->aMark);
  sqlite3_free(p->aFrame);
  sqlite3_free(p->aRead);
  sqlite3_free(p->aPg);
  sqlite3_free(p->zWal);
  sqlite3_free(p);
}

/* Takes pWal out of the state it is attached to. The list's mutex is held. */
static void replDetach(Wal *pWal){
  WalReplication *p = pWal->pRepl;
  Wal **pp;
  if( p==0 ) return;
  sqlite3_mutex_enter(p->mutex);
  for(pp=&p->pWals; *pp!=pWal; pp=&(*pp)->pReplNext){ assert( *pp ); }
  *pp = pWal->pReplNext;
  sqlite3_mutex_leave(p->mutex);
  pWal->pRepl = 0;
  pWal->pReplNext = 0;
  replUnref(p);
}

/* Looks the state of pWal up anew, as the list of replicated files has changed. */
static SQLITE_NOINLINE void replAttach(Wal *pWal){
  WalReplication *p;
  sqlite3_mutex_enter(replMutex());
  p = replFind(pWal->zWalName);
  if( p!=pWal->pRepl ){
    replDetach(pWal);
    if( p ){
      p->nRef++;
      sqlite3_mutex_enter(p->mutex);
      pWal->pReplNext = p->pWals;
      p->pWals = pWal;
      sqlite3_mutex_leave(p->mutex);
      pWal->pRepl = p;
      pWal->bReplUsed = 1;
    }
  }
  pWal->iReplGeneration = replLoad(&replState.iGeneration);
  sqlite3_mutex_leave(replMutex());
}

/* The replication state of pWal's file, or NULL. */
static WalReplication *replOf(Wal *pWal){
  if( pWal->iReplGeneration!=replLoad(&replState.iGeneration) ) replAttach(pWal);
  return pWal->pRepl;
}

/* The newest mark that was drained. */
static ReplMark *replTop(WalReplication *p){
  return p->nMark ? &p->aMark[p->nMark-1] : &p->base;
}

/*
** The first n marks are committed: the last of them is the new base. The mutex is held.
*/
static void replCommitMarks(WalReplication *p, int n){
  int i;
  if( n==0 ) return;
  for(i=0; i<n; i++){
    replListCommit(&p->aMark[i].list, &p->hashes, p->aMark[i].hdr.nPage);
    replListClear(&p->aMark[i].list);
  }
  p->base = p->aMark[n-1];
  p->nMark -= n;
  memmove(p->aMark, &p->aMark[n], p->nMark*sizeof(ReplMark));
}

/* Forgets the marks after the first n. The mutex is held. */
static void replDropMarks(WalReplication *p, int n){
  while( p->nMark>n ) replListClear(&p->aMark[--p->nMark].list);
}

static int replSameSalt(const WalIndexHdr *a, const WalIndexHdr *b){
  return memcmp(a->aSalt, b->aSalt, sizeof(a->aSalt))==0;
}

/*
** True if the live header describes the state of the mark. A WAL that was restarted after the mark
** and holds no commit does: all of the mark's frames were copied before the restart.
*/
static int replIsState(const WalIndexHdr *pLive, const ReplMark *pMark){
  return pLive->mxFrame==(replSameSalt(pLive, &pMark->hdr) ? pMark->hdr.mxFrame : 0);
}

/***************************************************************************************************
** Hooks, called from wal.c and auth.c by the patch.
*/

/*
** A read transaction on frames of the WAL is about to begin, pWal->hdr is its snapshot. Returns true
** if it must be tried again.
**
** A read-mark only bounds a snapshot from below, so it cannot tell whether a reader is beyond the
** target of a rewind. Therefore each connection publishes its snapshot. Order matters: the reader
** publishes, then looks for a rewind; the rewind announces itself, then looks at the snapshots. At
** least one of them sees the other. The caller compares the header afterwards, which catches a rewind
** that has finished in between.
*/
static int walReplicationRead(Wal *pWal){
  WalReplication *p = replOf(pWal);
  if( p==0 ) return 0;
  replStore(&pWal->iReplSnapshot, pWal->hdr.mxFrame);
  if( replLoad(&p->bRewinding)==0 || pWal->writeLock ) return 0;
  replStore(&pWal->iReplSnapshot, 0);
  return 1;
}

/* The read transaction has ended, or could not begin. */
static void walReplicationReadEnd(Wal *pWal){
  if( pWal->iReplSnapshot ) replStore(&pWal->iReplSnapshot, 0);
}

/* A write transaction wants to begin. */
static int walReplicationWrite(Wal *pWal){
  WalReplication *p = replOf(pWal);
  if( p==0 || pWal->bReplApply ) return SQLITE_OK;
  return replLoad(&p->eMode)==SQLITE_WAL_REPLICATION_LEADER ? SQLITE_OK : SQLITE_IOERR_NOT_LEADER;
}

/* True if the file is replicated: its WAL is never synced. */
static int walReplicationActive(Wal *pWal){
  return replOf(pWal)!=0;
}

/*
** Pages are about to be written, by a commit or a spill. Refuses those with which the transaction
** would be larger than it may be: a spill, so that it is refused while it grows, or the commit of one
** that never spilled. A page that was spilled before is counted again, which is at most once too many.
*/
static int walReplicationRoom(Wal *pWal, PgHdr *pList, int szPage){
  WalReplication *p = replOf(pWal);
  i64 nByteMax;
  i64 nByteSpace;
  i64 nByte;
  PgHdr *pPg;
  if( p==0 || pWal->bReplApply ) return SQLITE_OK;
  nByteMax = replLoad(&p->nByteMax);
  nByteSpace = replLoad(&p->nByteSpace);
  if( nByteMax==0 && nByteSpace==0 ) return SQLITE_OK;
  nByte = (i64)pWal->hdr.mxFrame - (i64)walIndexHdr(pWal)->mxFrame;
  if( nByte<0 ) nByte = 0;
  for(pPg=pList; pPg; pPg=pPg->pDirty) nByte++;
  nByte *= szPage;
  if( nByteMax && nByte>nByteMax ) return SQLITE_IOERR_TRANSACTION_TOOBIG;
  return nByteSpace && nByte>nByteSpace ? SQLITE_IOERR_TRANSACTION_NOSPACE : SQLITE_OK;
}

/*
** Writes one frame, of at most 4096 bytes, with one call where wal.c takes two. The WAL is never
** synced, so there is no sync point to look out for.
*/
static int walReplicationWriteFrame(
  Wal *pWal, u32 pgno, u32 nTruncate, void *pData, i64 iOffset
){
  u8 aFrame[WAL_FRAME_HDRSIZE+4096];
  assert( pWal->szPage<=4096 );
  walEncodeFrame(pWal, pgno, nTruncate, (u8*)pData, aFrame);
  memcpy(&aFrame[WAL_FRAME_HDRSIZE], pData, pWal->szPage);
  return sqlite3OsWrite(pWal->pWalFd, aFrame, WAL_FRAME_HDRSIZE+(int)pWal->szPage, iOffset);
}

/*
** The frames of a commit are written and indexed, the header is about to be published. Returns
** SQLITE_OK with the state's mutex held, or an error that makes the pager roll back. The sequence
** number is visible before the commit is, so that a reader of the commit sees the number too.
*/
static int walReplicationCommit(Wal *pWal){
  WalReplication *p = replOf(pWal);
  if( p==0 ) return SQLITE_OK;
  sqlite3_mutex_enter(p->mutex);
  if( pWal->bReplApply==0 ){
    if( p->eMode!=SQLITE_WAL_REPLICATION_LEADER ){
      sqlite3_mutex_leave(p->mutex);
      return SQLITE_IOERR_NOT_LEADER;
    }
    replStore(&p->iSeq, p->iSeq+1);
  }
  return SQLITE_OK;
}

/* The commit was published. */
static void walReplicationCommitted(Wal *pWal){
  WalReplication *p = pWal->pRepl;
  if( p==0 ) return;
  assert( sqlite3_mutex_held(p->mutex) );
  if( pWal->bReplApply ){
    replCommitMarks(p, p->nMark);
    p->base.hdr = pWal->hdr;
    replListCommit(&p->applied, &p->hashes, pWal->hdr.nPage);
    replListReuse(&p->applied);
    p->nApplied++;
    p->aDigest[p->nApplied%DIGESTS_KEPT] = replHashDigest(&p->hashes);
  }else{
    p->pending.iSeq = p->iSeq;
    p->pending.hdr = pWal->hdr;
    p->bPending = 1;
    p->nCaptured++;
  }
  /* A connection that goes on reading sees its own commit from now on. */
  replStore(&pWal->iReplSnapshot, pWal->hdr.mxFrame);
  sqlite3_mutex_leave(p->mutex);
}

/* pWal is about to be closed. True if it must leave the WAL file as it is. */
static int walReplicationClose(Wal *pWal){
  if( pWal->bReplApply ){
    /* The handle is closed in the middle of a batch. */
    pWal->bReplApply = 0;
    sqlite3WalEndWriteTransaction(pWal);
    sqlite3WalEndReadTransaction(pWal);
  }
  replOf(pWal);
  sqlite3_mutex_enter(replMutex());
  replDetach(pWal);
  sqlite3_mutex_leave(replMutex());
  return pWal->bReplUsed;
}

/*
** While a follower replays what a crashed checkpoint had copied, the database file may be shorter
** than the pages say.
*/
static int walReplicationIsHealing(Wal *pWal){
  return pWal->pRepl && replLoad(&pWal->pRepl->eMode)==SQLITE_WAL_REPLICATION_FOLLOWER;
}

/***************************************************************************************************
** Entering and leaving a call.
*/

typedef struct ReplCall ReplCall;
struct ReplCall {
  sqlite3 *db;
  Btree *pBtree;
  Pager *pPager;
  Wal *pWal;                 /* NULL unless the pager has opened it */
  WalReplication *p;         /* State of the file, or NULL */
};

/* Finds the pager and takes the connection's locks. SQLITE_OK must be followed by replLeave(). */
static int replEnter(ReplCall *pCall, sqlite3 *db, const char *zSchema){
  int iDb;
  memset(pCall, 0, sizeof(*pCall));
  if( !sqlite3SafetyCheckOk(db) ) return SQLITE_MISUSE_BKPT;
  sqlite3_mutex_enter(db->mutex);
  iDb = zSchema ? sqlite3FindDbName(db, zSchema) : 0;
  if( iDb<0 || iDb==1 || db->aDb[iDb].pBt==0 ){
    sqlite3_mutex_leave(db->mutex);
    return SQLITE_ERROR;
  }
  pCall->db = db;
  pCall->pBtree = db->aDb[iDb].pBt;
  sqlite3BtreeEnter(pCall->pBtree);
  pCall->pPager = sqlite3BtreePager(pCall->pBtree);
  pCall->pWal = pCall->pPager->pWal;
  if( pCall->pWal ) pCall->p = replOf(pCall->pWal);
  return SQLITE_OK;
}

static int replLeave(ReplCall *pCall, int rc){
  sqlite3BtreeLeave(pCall->pBtree);
  sqlite3_mutex_leave(pCall->db->mutex);
  return rc;
}

/* True for a database in a file of its own, the only kind that can have a WAL. */
static int replHasWalName(Pager *pPager){
  return pPager->tempFile==0 && pPager->memVfs==0 && pPager->zWal && pPager->zWal[0];
}

/*
** Opens the WAL of the pager when that was not done yet, without reading a page. Afterwards the pager
** is idle, so that the Wal can be used directly.
*/
static int replOpenWal(ReplCall *pCall){
  Pager *pPager = pCall->pPager;
  int rc = SQLITE_OK;
  if( sqlite3BtreeTxnState(pCall->pBtree)!=SQLITE_TXN_NONE ) return SQLITE_MISUSE_BKPT;
  if( pPager->pWal==0 ){
    u8 aHdr[32];
    i64 nByte = 0;
    sqlite3_file *pFd = pPager->fd;
    if( !replHasWalName(pPager) || !isOpen(pFd) ) return SQLITE_NOTADB;
    rc = sqlite3OsFileSize(pFd, &nByte);
    if( rc==SQLITE_OK && nByte<512 ) rc = SQLITE_NOTADB;
    if( rc==SQLITE_OK ) rc = sqlite3OsRead(pFd, aHdr, sizeof(aHdr), 0);
    if( rc==SQLITE_OK && (aHdr[18]!=2 || aHdr[19]!=2) ) rc = SQLITE_NOTADB;
    if( rc!=SQLITE_OK ) return rc;
    rc = sqlite3PagerSharedLock(pPager);
    if( rc==SQLITE_OK && pPager->pWal==0 ){
      int bOpen = 0;
      rc = sqlite3PagerOpenWal(pPager, &bOpen);
    }
    pagerUnlockIfUnused(pPager);
    if( rc!=SQLITE_OK ) return rc;
  }
  if( pPager->eState!=PAGER_OPEN ) return SQLITE_MISUSE_BKPT;
  pCall->pWal = pPager->pWal;
  pCall->p = replOf(pCall->pWal);
  return SQLITE_OK;
}

/* As replEnter(), for a call that only the handle may make. */
static int replEnterHandle(ReplCall *pCall, sqlite3 *db, const char *zSchema){
  int rc = replEnter(pCall, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  if( pCall->p==0 || pCall->p->pHandle!=db ) return replLeave(pCall, SQLITE_MISUSE_BKPT);
  return SQLITE_OK;
}

/*
** Takes an exclusive lock of the WAL. Waits about a millisecond for it: a reader that has met a
** half-written header takes the write lock for a moment, one that is about to try again a read lock.
*/
static int replLockSoon(Wal *pWal, int iLock){
  int nTry = 0;
  int rc;
  while( (rc = walLockExclusive(pWal, iLock, 1))==SQLITE_BUSY && nTry++<LOCK_TRIES ){
    sqlite3OsSleep(pWal->pVfs, LOCK_WAIT_US);
  }
  return rc;
}

/* Opens the wal-index, which the locks of the WAL need. */
static int replMapIndex(Wal *pWal){
  volatile u32 *pIndexPage;
  int rc;
  SEH_TRY {
    rc = walIndexPage(pWal, 0, &pIndexPage);
  }
  SEH_EXCEPT( rc = walHandleException(pWal); )
  return rc;
}

/*
** Takes the WAL's write lock without a read transaction, and loads the live header into pWal->hdr.
** For calls that only look at, or replace, the header.
*/
static int replLockWrite(Wal *pWal){
  int rc;
  int bChanged = 0;
  assert( pWal->writeLock==0 );
  rc = replMapIndex(pWal);
  if( rc==SQLITE_OK ) rc = replLockSoon(pWal, WAL_WRITE_LOCK);
  if( rc!=SQLITE_OK ) return rc;
  pWal->writeLock = 1;
  SEH_TRY {
    rc = walIndexReadHdr(pWal, &bChanged);
  }
  SEH_EXCEPT( rc = walHandleException(pWal); )
  if( rc!=SQLITE_OK ) sqlite3WalEndWriteTransaction(pWal);
  return rc;
}

/*
** Makes the pager above pWal drop its page cache when it reads next: pWal->hdr was changed behind its
** back, so it could not notice otherwise.
*/
static void replForgetHdr(Wal *pWal){
  memset(&pWal->hdr, 0, sizeof(WalIndexHdr));
}

/***************************************************************************************************
** Modes.
*/

static void replAbort(WalReplication *p, Wal *pWal);
static int replHashOpen(ReplCall *pCall);

/* Ends replication of a file. */
static void replClose(WalReplication *p){
  WalReplication **pp;
  sqlite3_mutex_enter(replMutex());
  for(pp=&replState.pList; *pp!=p; pp=&(*pp)->pNext){ assert( *pp ); }
  *pp = p->pNext;
  sqlite3_mutex_enter(p->mutex);
  replStore(&p->eMode, SQLITE_WAL_REPLICATION_NONE);
  sqlite3_mutex_leave(p->mutex);
  replStore(&replState.iGeneration, replState.iGeneration+1);
  replUnref(p);
  sqlite3_mutex_leave(replMutex());
}

/* The handle is being closed. Its Wal, and with it an unfinished batch, goes right after this. */
static void replHandleClosed(void *pArg){
  replClose((WalReplication*)pArg);
}

static const char *replClientName(char *zBuf, int nBuf, const char *zWal){
  return sqlite3_snprintf(nBuf, zBuf, "wal_replication:%s", zWal);
}

static WalReplication *replNew(sqlite3 *db, const char *zWal){
  WalReplication *p = sqlite3MallocZero(sizeof(*p));
  if( p==0 ) return 0;
  p->zWal = sqlite3_mprintf("%s", zWal);
  p->mutex = sqlite3MutexAlloc(SQLITE_MUTEX_FAST);
  p->pHandle = db;
  p->nRef = 1;
  p->eMode = SQLITE_WAL_REPLICATION_FOLLOWER;
  if( p->zWal==0 || p->mutex==0 ){
    sqlite3_mutex_free(p->mutex);
    sqlite3_free(p->zWal);
    sqlite3_free(p);
    p = 0;
  }
  return p;
}

/* Puts a new state on the list. The write lock is held, so the header of pWal is the live one. */
static int replRegister(sqlite3 *db, Wal *pWal){
  WalReplication *p = replNew(db, pWal->zWalName);
  char zName[MAX_PATHNAME+32];
  int rc = SQLITE_OK;
  if( p==0 ) return SQLITE_NOMEM_BKPT;
  p->base.hdr = pWal->hdr;
  sqlite3_mutex_enter(replMutex());
  if( replFind(p->zWal) ){
    replUnref(p);
    rc = SQLITE_MISUSE_BKPT;
  }else{
    p->pNext = replState.pList;
    replState.pList = p;
    replStore(&replState.iGeneration, replState.iGeneration+1);
  }
  sqlite3_mutex_leave(replMutex());
  if( rc!=SQLITE_OK ) return rc;
  db->flags |= SQLITE_NoCkptOnClose;
  replAttach(pWal);
  /* The destructor runs when sqlite3_close() is certain to close, or here when memory is short. */
  return sqlite3_set_clientdata(
    db, replClientName(zName, sizeof(zName), p->zWal), p, replHandleClosed
  );
}

int sqlite3_wal_replication_open(sqlite3 *db, const char *zSchema){
  ReplCall c;
  int rc = replEnter(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  rc = c.p ? SQLITE_MISUSE_BKPT : replOpenWal(&c);
  if( rc==SQLITE_OK && c.p ) rc = SQLITE_MISUSE_BKPT;
  if( rc==SQLITE_OK ) rc = replLockWrite(c.pWal);
  if( rc==SQLITE_OK ){
    rc = replRegister(db, c.pWal);
    if( rc==SQLITE_OK ) rc = replHashOpen(&c);
    sqlite3WalEndWriteTransaction(c.pWal);
    replForgetHdr(c.pWal);
  }
  return replLeave(&c, rc);
}

int sqlite3_wal_replication_close(sqlite3 *db, const char *zSchema){
  ReplCall c;
  char zName[MAX_PATHNAME+32];
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  replAbort(c.p, c.pWal);
  /* Replacing the client data runs the destructor of the old. */
  replClientName(zName, sizeof(zName), c.p->zWal);
  rc = sqlite3_set_clientdata(db, zName, 0, 0);
  return replLeave(&c, rc);
}

int sqlite3_wal_replication_leader(sqlite3 *db, const char *zSchema){
  ReplCall c;
  WalReplication *p;
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  p = c.p;
  if( p->eMode==SQLITE_WAL_REPLICATION_LEADER ) return replLeave(&c, SQLITE_OK);
  rc = p->bApply ? SQLITE_MISUSE_BKPT : replOpenWal(&c);
  if( rc==SQLITE_OK ) rc = replLockWrite(c.pWal);
  if( rc!=SQLITE_OK ) return replLeave(&c, rc);
  sqlite3_mutex_enter(p->mutex);
  if( (p->bUnsettled && p->nMark) || !replIsState(&c.pWal->hdr, replTop(p)) ){
    rc = SQLITE_MISUSE_BKPT;
  }else{
    replCommitMarks(p, p->nMark);
    p->base.iSeq = p->iSeq;
    p->base.hdr = c.pWal->hdr;
    p->bUnsettled = 0;
    replStore(&p->eMode, SQLITE_WAL_REPLICATION_LEADER);
  }
  sqlite3_mutex_leave(p->mutex);
  sqlite3WalEndWriteTransaction(c.pWal);
  replForgetHdr(c.pWal);
  return replLeave(&c, rc);
}

int sqlite3_wal_replication_follower(sqlite3 *db, const char *zSchema){
  ReplCall c;
  WalReplication *p;
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  p = c.p;
  sqlite3_mutex_enter(p->mutex);
  if( p->eMode==SQLITE_WAL_REPLICATION_LEADER ){
    replStore(&p->eMode, SQLITE_WAL_REPLICATION_FOLLOWER);
    p->bUnsettled = p->nMark>0;
    p->bPending = 0;
    p->bDraining = 0;
  }
  sqlite3_mutex_leave(p->mutex);
  return replLeave(&c, SQLITE_OK);
}

int sqlite3_wal_replication_transaction_limit(
  sqlite3 *db, const char *zSchema, sqlite3_int64 nByteMax, sqlite3_int64 nByteSpace
){
  ReplCall c;
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  replStore(&c.p->nByteMax, nByteMax);
  replStore(&c.p->nByteSpace, nByteSpace);
  return replLeave(&c, SQLITE_OK);
}

#include "replication_drain.c"
#include "replication_apply.c"
#include "replication_integrity.c"
#include "replication_session.c"
#include "replication_brief.c"
