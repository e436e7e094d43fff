/*
** WAL replication, leader side: draining captured transactions and releasing them. Included by
** replication.c.
*/

/*
** Chooses the frames of a batch: of iFirst..iLast the newest one of every page that is within the
** database after the batch, in ascending order, into p->aFrame.
*/
static int replChooseFrames(WalReplication *p, Wal *pWal, u32 iFirst, u32 iLast, u32 nPage){
  u32 nFrame = iLast + 1 - iFirst;
  u64 nSlot = 64;
  u32 *aSlot;                /* Hash set of the page numbers seen */
  u32 *aFrame;
  u32 iFrame;
  u32 n = 0;
  int i;
  int rc = SQLITE_OK;

  for(i=walFramePage(iFirst); rc==SQLITE_OK && i<=walFramePage(iLast); i++){
    volatile u32 *pIndexPage;
    rc = walIndexPage(pWal, i, &pIndexPage);
  }
  if( rc!=SQLITE_OK ) return rc;
  while( nSlot<2*(u64)nFrame ) nSlot *= 2;
  aFrame = sqlite3_realloc64(p->aFrame, nFrame*sizeof(u32));
  if( aFrame==0 ) return SQLITE_NOMEM_BKPT;
  p->aFrame = aFrame;
  aSlot = sqlite3_malloc64(nSlot*sizeof(u32));
  if( aSlot==0 ) return SQLITE_NOMEM_BKPT;
  memset(aSlot, 0, nSlot*sizeof(u32));

  for(iFrame=iLast; iFrame>=iFirst; iFrame--){
    u32 pgno = walFramePgno(pWal, iFrame);
    u64 h = (pgno*(u64)2654435761u) & (nSlot-1);
    if( pgno==0 ){
      rc = SQLITE_CORRUPT_BKPT;
      break;
    }
    while( aSlot[h] && aSlot[h]!=pgno ) h = (h+1) & (nSlot-1);
    if( aSlot[h]==pgno || pgno>nPage ) continue;
    aSlot[h] = pgno;
    aFrame[nFrame - ++n] = iFrame;
  }
  sqlite3_free(aSlot);
  memmove(aFrame, &aFrame[nFrame-n], n*sizeof(u32));
  p->nFrame = n;
  p->iFrame = 0;
  return rc;
}

/* Starts a batch of everything captured. *pbAny is false when there is nothing. */
static int replBeginBatch(WalReplication *p, Wal *pWal, int *pbAny){
  ReplMark *pTop;
  u32 iFirst;
  int rc = SQLITE_OK;
  sqlite3_mutex_enter(p->mutex);
  *pbAny = p->bPending;
  if( p->bPending && p->nMark==p->nMarkAlloc ){
    int nNew = p->nMarkAlloc*2 + 16;
    ReplMark *aNew = sqlite3_realloc64(p->aMark, nNew*sizeof(ReplMark));
    if( aNew ){
      p->aMark = aNew;
      p->nMarkAlloc = nNew;
    }else{
      rc = SQLITE_NOMEM_BKPT;
    }
  }
  p->batch = p->pending;
  replListClear(&p->drained);
  pTop = replTop(p);
  /* A restart of the WAL since the newest mark needs all its frames copied, hence released. */
  assert( !p->bPending || p->nMark==0 || replSameSalt(&pTop->hdr, &p->batch.hdr) );
  iFirst = replSameSalt(&pTop->hdr, &p->batch.hdr) ? pTop->hdr.mxFrame+1 : 1;
  sqlite3_mutex_leave(p->mutex);
  if( rc!=SQLITE_OK || *pbAny==0 ) return rc;
  SEH_TRY {
    rc = replChooseFrames(p, pWal, iFirst, p->batch.hdr.mxFrame, p->batch.hdr.nPage);
  }
  SEH_EXCEPT( rc = walHandleException(pWal); )
  if( rc==SQLITE_OK && p->nFrame==0 ) rc = SQLITE_CORRUPT_BKPT;
  return rc;
}

/* Reads the pages of frames aFrame[0..nFrame-1] into aOut, with as few reads as aRead allows. */
static int replReadFrames(
  WalReplication *p, Wal *pWal, int szPage, const u32 *aFrame, u32 nFrame, u8 *aOut
){
  const int szFrame = szPage + WAL_FRAME_HDRSIZE;
  const u32 nMax = DRAIN_READ_SIZE/szFrame;
  u32 i = 0;
  int rc = SQLITE_OK;
  if( p->aRead==0 ){
    p->aRead = sqlite3_malloc64(DRAIN_READ_SIZE);
    if( p->aRead==0 ) return SQLITE_NOMEM_BKPT;
  }
  while( rc==SQLITE_OK && i<nFrame ){
    u32 n = 1;               /* Frames chosen from this read */
    u32 j;
    /* A gap of a few frames costs less than another call. */
    while( i+n<nFrame && aFrame[i+n]-aFrame[i]<nMax && aFrame[i+n]-aFrame[i+n-1]<=4 ) n++;
    rc = sqlite3OsRead(
      pWal->pWalFd, p->aRead, (int)(aFrame[i+n-1]-aFrame[i]+1)*szFrame,
      walFrameOffset(aFrame[i], szPage)
    );
    for(j=0; rc==SQLITE_OK && j<n; j++){
      u8 *a = &p->aRead[(i64)(aFrame[i+j]-aFrame[i])*szFrame];
      memcpy(&aOut[(i64)(i+j)*szPage], &a[WAL_FRAME_HDRSIZE], szPage);
    }
    i += n;
  }
  return rc;
}

static void replPut32(u8 *a, u32 v){
  a[0] = (u8)v;
  a[1] = (u8)(v>>8);
  a[2] = (u8)(v>>16);
  a[3] = (u8)(v>>24);
}

/* Encodes the next nFrame pages of the batch. */
static int replEncodeChunk(WalReplication *p, Wal *pWal, int szPage, u32 nFrame, u8 *aOut){
  const u32 *aFrame = &p->aFrame[p->iFrame];
  const int isLast = p->iFrame+nFrame==p->nFrame;
  u32 i;
  replPut32(&aOut[0], szPage);
  replPut32(&aOut[4], isLast ? p->batch.hdr.nPage : 0);
  replPut32(&aOut[8], nFrame);
  replPut32(&aOut[12],
    (isLast ? SQLITE_WAL_REPLICATION_LAST : 0)
    | (p->iFrame ? SQLITE_WAL_REPLICATION_CONTINUES : 0)
  );
  SEH_TRY {
    for(i=0; i<nFrame; i++){
      replPut32(&aOut[CHUNK_HEADER_SIZE+4*(i64)i], walFramePgno(pWal, aFrame[i]));
    }
  }
  SEH_EXCEPT( return walHandleException(pWal); )
  return replReadFrames(p, pWal, szPage, aFrame, nFrame, &aOut[CHUNK_HEADER_SIZE+4*(i64)nFrame]);
}

/* Hashes the pages of an encoded chunk, for the day on which they are committed. */
static int replHashChunk(WalReplication *p, const u8 *aChunk, int szPage, u32 nFrame){
  const u8 *aPgno = &aChunk[CHUNK_HEADER_SIZE];
  const u32 nBefore = p->drained.n;
  int rc = replListAdd(&p->drained, aPgno, &aPgno[4*(i64)nFrame], nFrame, szPage);
  if( rc==SQLITE_OK ){
    sqlite3_mutex_enter(p->mutex);
    rc = replListReserve(&p->drained, nBefore, &p->hashes);
    sqlite3_mutex_leave(p->mutex);
  }
  if( rc!=SQLITE_OK ) p->drained.n = nBefore;
  return rc;
}

/* The batch is complete: its end becomes a mark. */
static void replFinishBatch(WalReplication *p){
  sqlite3_mutex_enter(p->mutex);
  assert( p->nMark<p->nMarkAlloc );
  p->aMark[p->nMark++] = p->batch;
  p->aMark[p->nMark-1].list = p->drained;
  memset(&p->drained, 0, sizeof(p->drained));
  if( p->pending.iSeq==p->batch.iSeq ) p->bPending = 0;
  p->bDraining = 0;
  p->nDrained += p->nFrame;
  sqlite3_mutex_leave(p->mutex);
}

int sqlite3_wal_replication_drain(
  sqlite3 *db, const char *zSchema, void *pBuf, sqlite3_int64 nBuf, sqlite3_int64 *aOut
){
  ReplCall c;
  WalReplication *p;
  int szPage;
  i64 n;
  int bAny = 1;
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  p = c.p;
  memset(aOut, 0, 6*sizeof(i64));
  if( p->bDraining==0 ){
    rc = replBeginBatch(p, c.pWal, &bAny);
    if( rc!=SQLITE_OK || bAny==0 ) return replLeave(&c, rc);
    p->bDraining = 1;
  }
  szPage = (p->batch.hdr.szPage&0xfe00) + ((p->batch.hdr.szPage&0x0001)<<16);
  n = (nBuf-CHUNK_HEADER_SIZE) / (szPage+4);
  if( nBuf<CHUNK_HEADER_SIZE+4+szPage ) return replLeave(&c, SQLITE_TOOBIG);
  n = MIN(n, (i64)(p->nFrame - p->iFrame));
  rc = replEncodeChunk(p, c.pWal, szPage, (u32)n, (u8*)pBuf);
  if( rc==SQLITE_OK ) rc = replHashChunk(p, (const u8*)pBuf, szPage, (u32)n);
  if( rc==SQLITE_OK ){
    p->iFrame += (u32)n;
    aOut[0] = CHUNK_HEADER_SIZE + n*(szPage+4);
    aOut[1] = n;
    aOut[2] = p->iFrame==p->nFrame;
    aOut[3] = p->batch.iSeq;
    aOut[4] = p->batch.hdr.nPage;
    aOut[5] = p->nFrame - p->iFrame;
    if( aOut[2] ) replFinishBatch(p);
  }
  return replLeave(&c, rc);
}

int sqlite3_wal_replication_release(sqlite3 *db, const char *zSchema, sqlite3_int64 iSeq){
  ReplCall c;
  WalReplication *p;
  int n = 0;
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  p = c.p;
  sqlite3_mutex_enter(p->mutex);
  if( iSeq>p->iSeq ) rc = SQLITE_MISUSE_BKPT;
  while( rc==SQLITE_OK && n<p->nMark && p->aMark[n].iSeq<=iSeq ) n++;
  replCommitMarks(p, n);
  sqlite3_mutex_leave(p->mutex);
  return replLeave(&c, rc);
}

sqlite3_int64 sqlite3_wal_replication_seq(sqlite3 *db, const char *zSchema){
  ReplCall c;
  i64 iSeq = 0;
  if( replEnter(&c, db, zSchema)!=SQLITE_OK ) return 0;
  if( c.p ){
    iSeq = replLoad(&c.p->iSeq);
  }else if( c.pWal==0 && replHasWalName(c.pPager) ){
    WalReplication *p;
    sqlite3_mutex_enter(replMutex());
    p = replFind(c.pPager->zWal);
    if( p ) iSeq = replLoad(&p->iSeq);
    sqlite3_mutex_leave(replMutex());
  }
  replLeave(&c, 0);
  return iSeq;
}
