/*
** WAL replication, follower side and checkpoint: applying batches, rewinding, copying into the
** database file. Included by replication.c.
*/

/*
** Forgets the frames appended since the last commit. sqlite3WalUndo() would not do: it relies on page
** 1 being written by a commit only, and a chunk may hold any page.
*/
static void replUndo(Wal *pWal){
  u32 mxFrame = pWal->hdr.mxFrame;
  SEH_TRY {
    memcpy(&pWal->hdr, (void*)walIndexHdr(pWal), sizeof(WalIndexHdr));
    if( mxFrame!=pWal->hdr.mxFrame ) walCleanupHash(pWal);
  }
  SEH_EXCEPT( (void)walHandleException(pWal); )
  pWal->iReCksum = 0;
}

/* Ends the write and read transaction of apply. */
static void replApplyEnd(WalReplication *p, Wal *pWal){
  p->bApply = 0;
  pWal->bReplApply = 0;
  sqlite3WalEndWriteTransaction(pWal);
  sqlite3WalEndReadTransaction(pWal);
  replForgetHdr(pWal);
}

static void replAbort(WalReplication *p, Wal *pWal){
  if( p->bApply==0 ) return;
  replListReuse(&p->applied);
  if( pWal->writeLock && pWal->bReplApply ){
    replUndo(pWal);
    replApplyEnd(p, pWal);
  }
  p->bApply = 0;
  pWal->bReplApply = 0;
}

/* Starts a batch: takes the write lock on top of a state that is settled. */
static int replApplyBegin(WalReplication *p, Wal *pWal){
  int bChanged = 0;
  int bSettled;
  int nTry = 0;
  int rc = sqlite3WalBeginReadTransaction(pWal, &bChanged);
  if( rc!=SQLITE_OK ) return rc;
  pWal->bReplApply = 1;
  /* As in replLockSoon(): a reader may hold the write lock for a moment. */
  while( (rc = sqlite3WalBeginWriteTransaction(pWal))==SQLITE_BUSY && nTry++<LOCK_TRIES ){
    sqlite3OsSleep(pWal->pVfs, LOCK_WAIT_US);
  }
  if( rc!=SQLITE_OK ){
    pWal->bReplApply = 0;
    sqlite3WalEndReadTransaction(pWal);
    replForgetHdr(pWal);
    return rc==SQLITE_BUSY_SNAPSHOT ? SQLITE_BUSY : rc;
  }
  sqlite3_mutex_enter(p->mutex);
  bSettled = !(p->bUnsettled && p->nMark) && replIsState(&pWal->hdr, replTop(p));
  sqlite3_mutex_leave(p->mutex);
  p->bApply = 1;
  p->mxApply = pWal->hdr.mxFrame;
  return bSettled ? SQLITE_OK : SQLITE_MISUSE_BKPT;
}

/* Checks a chunk against its own length and the page size of the database. */
static int replCheckChunk(const u8 *a, i64 nByte, int szPage){
  u32 nFrame;
  u32 flags;
  u32 nPage;
  u32 i;
  if( nByte<CHUNK_HEADER_SIZE ) return SQLITE_CORRUPT_BKPT;
  nPage = replGet32(&a[4]);
  nFrame = replGet32(&a[8]);
  flags = replGet32(&a[12]);
  if( replGet32(&a[0])!=(u32)szPage || nFrame==0 || flags>3
   || nByte!=CHUNK_HEADER_SIZE+(i64)nFrame*(szPage+4)
   || ((flags&SQLITE_WAL_REPLICATION_LAST)!=0)!=(nPage!=0)
  ){
    return SQLITE_CORRUPT_BKPT;
  }
  for(i=0; i<nFrame; i++){
    u32 pgno = replGet32(&a[CHUNK_HEADER_SIZE+4*(i64)i]);
    if( pgno==0 || (nPage && pgno>nPage) ) return SQLITE_CORRUPT_BKPT;
  }
  return SQLITE_OK;
}

/* Appends the pages of a checked chunk to the WAL. The last chunk commits. */
static int replApplyFrames(WalReplication *p, Wal *pWal, const u8 *a, int szPage){
  const u32 nPage = replGet32(&a[4]);
  const u32 nFrame = replGet32(&a[8]);
  const u8 *aPgno = &a[CHUNK_HEADER_SIZE];
  const u8 *aData = &aPgno[4*(i64)nFrame];
  const u32 nBefore = p->applied.n;
  u32 i;
  int rc = replListAdd(&p->applied, aPgno, aData, nFrame, szPage);
  if( rc==SQLITE_OK ){
    /* Nothing may fail any more once the batch is committed. */
    sqlite3_mutex_enter(p->mutex);
    rc = replListReserve(&p->applied, nBefore, &p->hashes);
    sqlite3_mutex_leave(p->mutex);
  }
  if( rc!=SQLITE_OK ) return rc;
  if( p->aDigest==0 ){
    p->aDigest = sqlite3MallocZero(DIGESTS_KEPT*sizeof(ReplDigest));
    if( p->aDigest==0 ) return SQLITE_NOMEM_BKPT;
  }
  if( nFrame>p->nPgAlloc ){
    PgHdr *aNew = sqlite3_realloc64(p->aPg, nFrame*sizeof(PgHdr));
    if( aNew==0 ) return SQLITE_NOMEM_BKPT;
    p->aPg = aNew;
    p->nPgAlloc = nFrame;
  }
  memset(p->aPg, 0, nFrame*sizeof(PgHdr));
  for(i=0; i<nFrame; i++){
    p->aPg[i].pData = (void*)&aData[(i64)i*szPage];
    p->aPg[i].pgno = replGet32(&aPgno[4*(i64)i]);
    p->aPg[i].pDirty = i+1<nFrame ? &p->aPg[i+1] : 0;
  }
  return sqlite3WalFrames(pWal, szPage, p->aPg, nPage, nPage!=0, 0);
}

/* Applies one chunk whose bytes are aligned for 32-bit access, as the checksums of the WAL need. */
static int replApplyChunk(ReplCall *pCall, const u8 *a, i64 nByte){
  WalReplication *p = pCall->p;
  Wal *pWal = pCall->pWal;
  const int szPage = (int)pCall->pPager->pageSize;
  int rc = replCheckChunk(a, nByte, szPage);
  if( rc==SQLITE_OK ){
    int isNext = (replGet32(&a[12]) & SQLITE_WAL_REPLICATION_CONTINUES)!=0;
    if( isNext!=p->bApply ){
      rc = SQLITE_MISUSE_BKPT;
    }else if( isNext ){
      /* Running SQL on the handle meanwhile would have ended the transaction. */
      if( !pWal->writeLock || !pWal->bReplApply || pWal->hdr.mxFrame!=p->mxApply ){
        rc = SQLITE_MISUSE_BKPT;
      }
    }else{
      rc = replApplyBegin(p, pWal);
    }
  }
  if( rc==SQLITE_OK ) rc = replApplyFrames(p, pWal, a, szPage);
  if( rc!=SQLITE_OK ){
    replAbort(p, pWal);
  }else if( replGet32(&a[12]) & SQLITE_WAL_REPLICATION_LAST ){
    replApplyEnd(p, pWal);
  }else{
    p->mxApply = pWal->hdr.mxFrame;
  }
  return rc;
}

int sqlite3_wal_replication_apply(
  sqlite3 *db, const char *zSchema, const void *pBuf, sqlite3_int64 nBuf
){
  ReplCall c;
  const u8 *a = (const u8*)pBuf;
  u8 *aCopy = 0;
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  if( c.p->eMode!=SQLITE_WAL_REPLICATION_FOLLOWER ) return replLeave(&c, SQLITE_MISUSE_BKPT);
  if( c.p->bApply==0 ) rc = replOpenWal(&c);
  if( rc==SQLITE_OK && ((uptr)a & 3)!=0 ){
    aCopy = sqlite3_malloc64(nBuf);
    if( aCopy==0 ){
      rc = SQLITE_NOMEM_BKPT;
    }else{
      a = memcpy(aCopy, a, nBuf);
    }
  }
  if( rc==SQLITE_OK ) rc = replApplyChunk(&c, a, nBuf);
  sqlite3_free(aCopy);
  return replLeave(&c, rc);
}

int sqlite3_wal_replication_abort(sqlite3 *db, const char *zSchema){
  ReplCall c;
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  replAbort(c.p, c.pWal);
  return replLeave(&c, SQLITE_OK);
}

/* True if a connection other than the handle reads a snapshot beyond frame mxFrame. */
static int replHasReaderBeyond(WalReplication *p, Wal *pSelf, u32 mxFrame){
  Wal *pWal;
  int bFound = 0;
  sqlite3_mutex_enter(p->mutex);
  for(pWal=p->pWals; pWal && bFound==0; pWal=pWal->pReplNext){
    bFound = pWal!=pSelf && replLoad(&pWal->iReplSnapshot)>mxFrame;
  }
  sqlite3_mutex_leave(p->mutex);
  return bFound;
}

/*
** Resets the read-marks beyond frame mxFrame. A connection of this process that holds one is only
** about to notice the rewind and lets go within microseconds; one of another process is refused.
*/
static int replResetReadMarks(Wal *pWal, u32 mxFrame){
  volatile WalCkptInfo *pInfo = walCkptInfo(pWal);
  int i;
  for(i=1; i<WAL_NREADER; i++){
    u32 iMark = AtomicLoad(pInfo->aReadMark+i);
    int rc;
    if( iMark<=mxFrame || iMark==READMARK_NOT_USED ) continue;
    rc = replLockSoon(pWal, WAL_READ_LOCK(i));
    if( rc!=SQLITE_OK ) return rc;
    AtomicStore(pInfo->aReadMark+i, READMARK_NOT_USED);
    walUnlockExclusive(pWal, WAL_READ_LOCK(i), 1);
  }
  return SQLITE_OK;
}

/* Puts the state of a mark in place of the live one. The write lock is held. */
static int replRestore(WalReplication *p, Wal *pWal, const ReplMark *pMark){
  volatile u32 *pIndexPage;
  WalIndexHdr hdr = pWal->hdr;
  int rc;
  if( replSameSalt(&hdr, &pMark->hdr) ){
    hdr.mxFrame = pMark->hdr.mxFrame;
    memcpy(hdr.aFrameCksum, pMark->hdr.aFrameCksum, sizeof(hdr.aFrameCksum));
  }else{
    hdr.mxFrame = 0;
  }
  hdr.nPage = pMark->hdr.nPage;
  /* Never a value seen before, so that every connection drops its page cache. */
  hdr.iChange++;
  assert( hdr.mxFrame<pWal->hdr.mxFrame );
  if( walCkptInfo(pWal)->nBackfillAttempted>hdr.mxFrame ) return SQLITE_CORRUPT_BKPT;
  rc = walIndexPage(pWal, walFramePage(MAX(1, hdr.mxFrame)), &pIndexPage);
  if( rc!=SQLITE_OK ) return rc;

  replStore(&p->bRewinding, 1);
  if( replHasReaderBeyond(p, pWal, hdr.mxFrame) ) rc = SQLITE_BUSY;
  if( rc==SQLITE_OK ) rc = replResetReadMarks(pWal, hdr.mxFrame);
  if( rc==SQLITE_OK ){
    i64 iEnd = hdr.mxFrame ? walFrameOffset(hdr.mxFrame+1, walPagesize(pWal)) : WAL_HDRSIZE;
    /* Recovery of the WAL would bring the transactions back if their frames stayed in the file. */
    rc = sqlite3OsTruncate(pWal->pWalFd, iEnd);
  }
  if( rc==SQLITE_OK ){
    pWal->hdr = hdr;
    walCleanupHash(pWal);
    walIndexWriteHdr(pWal);
  }
  replStore(&p->bRewinding, 0);
  return rc;
}

/* Rewinds to a mark of the chain: the base for iMark<0, else aMark[iMark]. */
static int replRewind(ReplCall *pCall, int iMark){
  WalReplication *p = pCall->p;
  Wal *pWal = pCall->pWal;
  const ReplMark *pMark = iMark<0 ? &p->base : &p->aMark[iMark];
  int rc = replLockWrite(pWal);
  if( rc!=SQLITE_OK ) return rc;
  if( !replIsState(&pWal->hdr, pMark) ){
    if( iMark>=0 && !replSameSalt(&pWal->hdr, &pMark->hdr) ){
      /* The WAL was restarted although a frame was not released. */
      rc = SQLITE_CORRUPT_BKPT;
    }else{
      SEH_TRY {
        rc = replRestore(p, pWal, pMark);
      }
      SEH_EXCEPT( rc = walHandleException(pWal); )
    }
    if( rc==SQLITE_OK ) p->nRewind++;
  }
  if( rc==SQLITE_OK ){
    sqlite3_mutex_enter(p->mutex);
    replDropMarks(p, iMark+1);
    p->bUnsettled = 0;
    sqlite3_mutex_leave(p->mutex);
  }
  sqlite3WalEndWriteTransaction(pWal);
  replForgetHdr(pWal);
  return rc;
}

int sqlite3_wal_replication_rewind(sqlite3 *db, const char *zSchema, sqlite3_int64 iSeq){
  ReplCall c;
  WalReplication *p;
  int i;
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  p = c.p;
  if( p->bApply || p->eMode!=SQLITE_WAL_REPLICATION_FOLLOWER ){
    return replLeave(&c, SQLITE_MISUSE_BKPT);
  }
  rc = replOpenWal(&c);
  for(i=p->nMark-1; i>=0 && p->aMark[i].iSeq!=iSeq; i--){}
  if( rc==SQLITE_OK && i<0 && p->base.iSeq!=iSeq ) rc = SQLITE_NOTFOUND;
  if( rc==SQLITE_OK ) rc = replRewind(&c, i);
  if( rc==SQLITE_OK ){
    sqlite3ExpirePreparedStatements(db, 0);
    sqlite3ResetAllSchemasOfConnection(db);
  }
  return replLeave(&c, rc);
}

int sqlite3_wal_replication_limit(sqlite3 *db, const char *zSchema){
  ReplCall c;
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  sqlite3_mutex_enter(c.p->mutex);
  c.p->limit = c.p->base.hdr;
  c.p->bLimit = 1;
  sqlite3_mutex_leave(c.p->mutex);
  return replLeave(&c, SQLITE_OK);
}

/*
** Copies frames up to the base, or the limit. The checkpoint lock is held, pWal->hdr is the live header and was
** read after the base: the WAL reaches at least that far.
**
** The header of the base takes its place, so that the checkpoint looks for the newest version of each
** page up to the base only. With the live header it would skip a page that has a newer version beyond
** the base, and a rewind could take that version away.
*/
static int replCopyFrames(ReplCall *pCall, const WalIndexHdr *pBase){
  Wal *pWal = pCall->pWal;
  const WalIndexHdr live = pWal->hdr;
  u32 nBefore;
  int rc;
  if( !replSameSalt(&live, pBase) || pBase->mxFrame==0 ) return SQLITE_OK;
  assert( pBase->mxFrame<=live.mxFrame );
  pWal->hdr = *pBase;
  nBefore = walCkptInfo(pWal)->nBackfill;
  rc = walCheckpoint(
    pWal, pCall->db, SQLITE_CHECKPOINT_PASSIVE, 0, 0, 0, (u8*)pCall->pPager->pTmpSpace
  );
  if( rc==SQLITE_OK && walCkptInfo(pWal)->nBackfill!=nBefore ){
    rc = sqlite3OsSync(pWal->pDbFd, SQLITE_SYNC_NORMAL);
  }
  pWal->hdr = live;
  return rc;
}

/*
** All of the WAL was copied: cuts the database file to its size. The checkpoint that copied the last
** frame may not have done so, as transactions came after, which were then rewound. Skipped when the
** lock that keeps others from reading the file alone cannot be had; *pbAll is false then.
*/
static int replCutFile(Wal *pWal, i64 *pbAll){
  const i64 nByte = pWal->hdr.nPage*(i64)walPagesize(pWal);
  i64 nHave = 0;
  int rc = sqlite3OsFileSize(pWal->pDbFd, &nHave);
  if( rc!=SQLITE_OK || nByte==0 || nHave<=nByte ) return rc;
  rc = walLockExclusive(pWal, WAL_READ_LOCK(0), 1);
  if( rc==SQLITE_OK ){
    rc = sqlite3OsTruncate(pWal->pDbFd, nByte);
    if( rc==SQLITE_OK ) rc = sqlite3OsSync(pWal->pDbFd, SQLITE_SYNC_NORMAL);
    walUnlockExclusive(pWal, WAL_READ_LOCK(0), 1);
  }else if( rc==SQLITE_BUSY ){
    *pbAll = 0;
    rc = SQLITE_OK;
  }
  return rc;
}

/*
** All of the WAL was copied, so that whoever reads from now on reads the file alone. True if those who
** read the WAL are gone, or go within about a millisecond: the next transaction then begins it anew.
*/
static int replReadersGone(Wal *pWal){
  int rc;
  int nTry = 0;
  while( (rc = walLockExclusive(pWal, WAL_READ_LOCK(1), WAL_NREADER-1))==SQLITE_BUSY
      && nTry++<LOCK_TRIES
  ){
    sqlite3OsSleep(pWal->pVfs, LOCK_WAIT_US);
  }
  if( rc==SQLITE_OK ) walUnlockExclusive(pWal, WAL_READ_LOCK(1), WAL_NREADER-1);
  return rc==SQLITE_OK;
}

/* What a checkpoint tells. pWal->hdr is the header that was live before it. */
static int replCheckpointResult(Wal *pWal, const WalIndexHdr *pLimit, i64 *aOut){
  u32 nBackfill = walCkptInfo(pWal)->nBackfill;
  int rc = SQLITE_OK;
  aOut[0] = pWal->hdr.mxFrame;
  aOut[1] = MIN(nBackfill, pWal->hdr.mxFrame);
  aOut[2] = nBackfill==pWal->hdr.mxFrame
         && memcmp((void*)walIndexHdr(pWal), &pWal->hdr, sizeof(WalIndexHdr))==0;
  aOut[3] = !replSameSalt(&pWal->hdr, pLimit) || nBackfill>=pLimit->mxFrame;
  if( aOut[2] ) rc = replCutFile(pWal, &aOut[2]);
  aOut[4] = aOut[2] && replReadersGone(pWal);
  return rc;
}

int sqlite3_wal_replication_checkpoint(sqlite3 *db, const char *zSchema, sqlite3_int64 *aOut){
  ReplCall c;
  Wal *pWal;
  WalIndexHdr base;
  int bChanged = 0;
  int rc = replEnter(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  rc = c.pWal && c.pWal->bReplApply ? SQLITE_MISUSE_BKPT : replOpenWal(&c);
  pWal = c.pWal;
  if( rc==SQLITE_OK && c.p==0 ) rc = SQLITE_MISUSE_BKPT;
  if( rc==SQLITE_OK ) rc = replMapIndex(pWal);
  if( rc==SQLITE_OK ) rc = walLockExclusive(pWal, WAL_CKPT_LOCK, 1);
  if( rc!=SQLITE_OK ) return replLeave(&c, rc);
  pWal->ckptLock = 1;
  /* No statement runs, so an interrupt that came late is not meant for this. */
  AtomicStore(&db->u1.isInterrupted, 0);
  sqlite3_mutex_enter(c.p->mutex);
  base = c.p->bLimit ? c.p->limit : c.p->base.hdr;
  sqlite3_mutex_leave(c.p->mutex);
  SEH_TRY {
    rc = walIndexReadHdr(pWal, &bChanged);
    if( rc==SQLITE_OK ) rc = replCopyFrames(&c, &base);
    if( rc==SQLITE_OK ) rc = replCheckpointResult(pWal, &base, aOut);
    if( rc==SQLITE_OK && aOut[2] && pWal->hdr.nPage ) replHashCut(&c.p->hashes, pWal->hdr.nPage);
  }
  SEH_EXCEPT( rc = walHandleException(pWal); )
  if( bChanged ) replForgetHdr(pWal);
  walUnlockExclusive(pWal, WAL_CKPT_LOCK, 1);
  pWal->ckptLock = 0;
  return replLeave(&c, rc);
}

/* The counters of a status call. pWal->hdr is the live header unless a batch is unfinished. */
static void replStatus(WalReplication *p, Wal *pWal, i64 nPageFile, i64 *aOut){
  volatile WalIndexHdr *pLive = walIndexHdr(pWal);
  sqlite3_mutex_enter(p->mutex);
  aOut[0] = p->eMode;
  aOut[1] = p->iSeq;
  aOut[2] = p->base.iSeq;
  aOut[3] = replTop(p)->iSeq;
  aOut[4] = pLive->mxFrame;
  aOut[5] = AtomicLoad(&walCkptInfo(pWal)->nBackfill);
  aOut[6] = pLive->nPage ? pLive->nPage : nPageFile;
  aOut[8] = p->nCaptured;
  aOut[9] = p->nDrained;
  aOut[10] = p->nApplied;
  aOut[11] = p->nRewind;
  sqlite3_mutex_leave(p->mutex);
}

int sqlite3_wal_replication_status(sqlite3 *db, const char *zSchema, sqlite3_int64 *aOut){
  ReplCall c;
  Wal *pWal;
  int isApplying;
  int bChanged = 0;
  i64 nByte = 0;
  int rc = replEnter(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  isApplying = c.pWal && c.pWal->bReplApply;
  if( !isApplying ) rc = replOpenWal(&c);
  if( rc==SQLITE_OK && c.p==0 ) rc = SQLITE_MISUSE_BKPT;
  if( rc==SQLITE_OK ) rc = sqlite3OsFileSize(c.pPager->fd, &nByte);
  if( rc!=SQLITE_OK ) return replLeave(&c, rc);
  pWal = c.pWal;
  aOut[7] = c.pPager->pageSize;
  SEH_TRY {
    if( !isApplying ) rc = walIndexReadHdr(pWal, &bChanged);
    if( rc==SQLITE_OK ) replStatus(c.p, pWal, nByte/c.pPager->pageSize, aOut);
  }
  SEH_EXCEPT( rc = walHandleException(pWal); )
  if( bChanged ) replForgetHdr(pWal);
  return replLeave(&c, rc);
}
