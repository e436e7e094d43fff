/*
** WAL replication: what the page hashes are for. Included by replication.c.
**
**   - Every page that a connection reads from the database file is held against its file hash.
**   - Every frame that a checkpoint copies is held against its logical hash, and becomes the file
**     hash of its page.
**   - A scrub reads the file, and learns the pages that are not known.
**   - A damaged page is written again, with bytes that have the hash that the file should have.
**
** Why the file hash is the right one whenever somebody reads a page from the file: the file is
** written by checkpoints and repairs only. A checkpoint copies no frame beyond the snapshot of a
** reader, and a reader looks for the frames that are not copied in the WAL; so nobody reads a page
** from the file from before its hash changes until after it was written. A repair writes bytes of
** the hash that is there; who reads them half-written sees a mismatch, never a wrong page.
**
** In a file whose checkpoint was cut off by a crash, pages may be newer than their hashes. They are
** applied again before anything is read, and are then found in the WAL.
*/

#define REPL_DATA_ERROR SQLITE_IOERR_DATA

/* Hook of the pager: pgno was read from the file with result rc. */
static int walReplicationVerify(Wal *pWal, u32 pgno, const u8 *aData, int szPage, int rc){
  WalReplication *p = replOf(pWal);
  u64 hash;
  if( p==0 || (hash = replFileHash(&p->hashes, pgno))==0 ) return rc;
  if( rc==SQLITE_OK && replPageHash(pgno, aData, szPage)!=hash ) rc = REPL_DATA_ERROR;
  if( (rc&0xff)==SQLITE_IOERR ) replHashDamaged(&p->hashes, pgno, 1);
  return rc;
}

/* True if pgno is committed in a frame after iFrame. The mutex and the lock of checkpoints are held. */
static int replHasNewerFrame(WalReplication *p, Wal *pWal, u32 pgno, u32 iFrame){
  const WalIndexHdr *pBase = &p->base.hdr;
  u32 i;
  if( !replSameSalt(pBase, &pWal->hdr) ) return 0;
  for(i=iFrame+1; i<=pBase->mxFrame; i++){
    volatile u32 *pIndexPage;
    if( walIndexPage(pWal, walFramePage(i), &pIndexPage)!=SQLITE_OK ) return 1;
    if( walFramePgno(pWal, i)==pgno ) return 1;
  }
  return 0;
}

/* Hook of the checkpoint: frame iFrame, which is committed, is about to be written to the file. */
static int walReplicationCopy(Wal *pWal, u32 pgno, u32 iFrame, const u8 *aData, int szPage){
  WalReplication *p = pWal->pRepl;
  u64 hash, want;
  int rc;
  if( p==0 ) return SQLITE_OK;
  hash = replPageHash(pgno, aData, szPage);
  sqlite3_mutex_enter(p->mutex);
  rc = replHashGrow(&p->hashes, pgno);
  if( rc==SQLITE_OK ){
    want = replLogicalHash(&p->hashes, pgno);
    if( want!=0 && want!=hash && !replHasNewerFrame(p, pWal, pgno, iFrame) ){
      /* The WAL, a cache, has changed underneath: this must not get into the file. */
      rc = REPL_DATA_ERROR;
    }else{
      replHashWritten(&p->hashes, pgno, hash);
    }
  }
  sqlite3_mutex_leave(p->mutex);
  return rc;
}

/* The file was opened for replication. pWal->hdr is the live header. */
static int replHashOpen(ReplCall *pCall){
  ReplHashes *p = &pCall->pWal->pRepl->hashes;
  const int szPage = (int)pCall->pPager->pageSize;
  i64 nByte = 0;
  int rc = sqlite3OsFileSize(pCall->pPager->fd, &nByte);
  p->pgnoLock = (u32)(PENDING_BYTE/szPage) + 1;
  p->nPage = pCall->pWal->hdr.mxFrame ? pCall->pWal->hdr.nPage : (u32)(nByte/szPage);
  return rc;
}

static void replPut64(u8 *a, u64 v){
  replPut32(a, (u32)v);
  replPut32(&a[4], (u32)(v>>32));
}

static u64 replGet64(const u8 *a){
  return replGet32(a) | (u64)replGet32(&a[4])<<32;
}

int sqlite3_wal_replication_digest(
  sqlite3 *db, const char *zSchema, sqlite3_int64 iBatch, sqlite3_int64 *aOut
){
  ReplCall c;
  WalReplication *p;
  ReplDigest d;
  int rc = replEnter(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  p = c.p;
  if( p==0 ) return replLeave(&c, SQLITE_MISUSE_BKPT);
  sqlite3_mutex_enter(p->mutex);
  if( iBatch<0 || iBatch>p->nApplied || (iBatch>0 && iBatch+DIGESTS_KEPT<=p->nApplied) ){
    rc = SQLITE_NOTFOUND;
  }else{
    d = iBatch ? p->aDigest[iBatch%DIGESTS_KEPT] : replHashDigest(&p->hashes);
    aOut[0] = (u32)d.digest;
    aOut[1] = (u32)(d.digest>>32);
    aOut[2] = d.nPage;
    aOut[3] = d.nUnknown;
    aOut[4] = replLoad(&p->hashes.nDamaged);
  }
  sqlite3_mutex_leave(p->mutex);
  return replLeave(&c, rc);
}

int sqlite3_wal_replication_load_hashes(
  sqlite3 *db, const char *zSchema, const void *pHash, sqlite3_int64 nPage
){
  ReplCall c;
  ReplHashes *p;
  u32 pgno;
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  p = &c.p->hashes;
  sqlite3_mutex_enter(c.p->mutex);
  if( c.p->eMode!=SQLITE_WAL_REPLICATION_FOLLOWER || c.p->bApply || p->pDir
   || c.p->base.hdr.mxFrame!=0 || nPage<1 || nPage>0xfffffffe
  ){
    rc = SQLITE_MISUSE_BKPT;
  }else{
    p->nPage = (u32)nPage;
  }
  for(pgno=1; rc==SQLITE_OK && pgno<=nPage; pgno++){
    u64 hash = replGet64((const u8*)pHash + 8*(i64)(pgno-1));
    if( hash==0 ) continue;
    rc = replHashGrow(p, pgno);
    if( rc!=SQLITE_OK ) break;
    replStore(&replHashBlock(p, pgno)->aFile[(pgno-1)%HASH_BLOCK], hash);
    replHashLogical(p, pgno, hash);
  }
  sqlite3_mutex_leave(c.p->mutex);
  return replLeave(&c, rc);
}

/*
** Walks the blocks from pgno on, calling for pages up to the end of the table, until xPage wants no
** more. Returns the page at which it stopped, 0 at the end.
*/
static u32 replWalk(
  ReplHashes *p, u32 pgno, int (*xPage)(ReplHashBlock*, u32 pgno, void *pArg), void *pArg
){
  ReplHashDir *pDir = replLoad(&p->pDir);
  u32 nEnd = pDir ? pDir->nBlock*HASH_BLOCK : 0;
  while( pgno<=nEnd ){
    ReplHashBlock *pBlock = replHashBlock(p, pgno);
    if( pBlock==0 ){
      pgno = ((pgno-1)/HASH_BLOCK + 1)*HASH_BLOCK + 1;
    }else if( xPage(pBlock, pgno, pArg) ){
      pgno++;
    }else{
      return pgno;
    }
  }
  return 0;
}

typedef struct ReplSave ReplSave;
struct ReplSave {
  u8 *a;
  i64 nByte;
  i64 n;                     /* Bytes written */
  int bAll;
};

static int replSavePage(ReplHashBlock *pBlock, u32 pgno, void *pArg){
  ReplSave *p = (ReplSave*)pArg;
  u32 i = (pgno-1)%HASH_BLOCK;
  u64 hash;
  if( !p->bAll && (replLoad(&pBlock->aChanged[i/32])>>(i%32) & 1)==0 ) return 1;
  if( p->n+12>p->nByte ) return 0;
  replHashBit(pBlock->aChanged, pgno, 0);
  hash = replLoad(&pBlock->aFile[i]);
  if( hash==0 ) return 1;
  replPut32(&p->a[p->n], pgno);
  replPut64(&p->a[p->n+4], hash);
  p->n += 12;
  return 1;
}

int sqlite3_wal_replication_save_hashes(
  sqlite3 *db, const char *zSchema, int bAll, sqlite3_int64 iFrom, void *pBuf, sqlite3_int64 nBuf,
  sqlite3_int64 *aOut
){
  ReplCall c;
  ReplSave s;
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  s.a = (u8*)pBuf;
  s.nByte = nBuf;
  s.n = 0;
  s.bAll = bAll;
  aOut[1] = replWalk(&c.p->hashes, (u32)iFrom, replSavePage, &s);
  aOut[0] = s.n;
  return replLeave(&c, SQLITE_OK);
}

static int replListDamaged(ReplHashBlock *pBlock, u32 pgno, void *pArg){
  ReplSave *p = (ReplSave*)pArg;
  u32 i = (pgno-1)%HASH_BLOCK;
  if( (replLoad(&pBlock->aDamaged[i/32])>>(i%32) & 1)==0 ) return 1;
  if( p->n+4>p->nByte ) return 0;
  replPut32(&p->a[p->n], pgno);
  p->n += 4;
  return 1;
}

int sqlite3_wal_replication_damaged(
  sqlite3 *db, const char *zSchema, void *pBuf, sqlite3_int64 nBuf, sqlite3_int64 *aOut
){
  ReplCall c;
  ReplSave s;
  int rc = replEnter(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  if( c.p==0 ) return replLeave(&c, SQLITE_MISUSE_BKPT);
  memset(&s, 0, sizeof(s));
  s.a = (u8*)pBuf;
  s.nByte = nBuf;
  replWalk(&c.p->hashes, 1, replListDamaged, &s);
  aOut[0] = s.n/4;
  return replLeave(&c, SQLITE_OK);
}

/* A page that is not in the WAL was read from the file: the committed state and the file hold it. */
static int replLearn(WalReplication *p, u32 pgno, u64 hash){
  int rc;
  sqlite3_mutex_enter(p->mutex);
  rc = replHashGrow(&p->hashes, pgno);
  if( rc==SQLITE_OK && replFileHash(&p->hashes, pgno)==0 ){
    replHashWritten(&p->hashes, pgno, hash);
    /* Whoever changed the page since has set this already; then it is another one. */
    if( pgno<=p->hashes.nPage && replLogicalHash(&p->hashes, pgno)==0 ){
      replHashLogical(&p->hashes, pgno, hash);
    }
  }
  sqlite3_mutex_leave(p->mutex);
  return rc;
}

/* Looks at one page of a scrub. pWal has a read transaction. */
static int replScrubPage(ReplCall *pCall, u32 pgno, i64 *aOut){
  WalReplication *p = pCall->p;
  const int szPage = (int)pCall->pPager->pageSize;
  u8 *aData = (u8*)pCall->pPager->pTmpSpace;
  u32 iFrame = 0;
  u64 want, hash;
  int rc;
  if( pgno==p->hashes.pgnoLock ) return SQLITE_OK;
  rc = sqlite3WalFindFrame(pCall->pWal, pgno, &iFrame);
  if( rc!=SQLITE_OK ) return rc;
  if( iFrame ){
    aOut[4]++;
    return SQLITE_OK;
  }
  want = replFileHash(&p->hashes, pgno);
  rc = sqlite3OsRead(pCall->pPager->fd, aData, szPage, (pgno-1)*(i64)szPage);
  if( rc==SQLITE_IOERR_SHORT_READ ) rc = SQLITE_OK;
  if( rc!=SQLITE_OK && ((rc&0xff)!=SQLITE_IOERR || want==0) ) return rc;
  hash = rc==SQLITE_OK ? replPageHash(pgno, aData, szPage) : 0;
  if( want==0 ){
    aOut[2]++;
    return replLearn(p, pgno, hash);
  }
  aOut[1]++;
  if( hash!=want ) aOut[3]++;
  replHashDamaged(&p->hashes, pgno, hash!=want);
  return SQLITE_OK;
}

int sqlite3_wal_replication_scrub(
  sqlite3 *db, const char *zSchema, sqlite3_int64 iFirst, sqlite3_int64 nPage, sqlite3_int64 *aOut
){
  ReplCall c;
  int bChanged = 0;
  i64 pgno = iFirst;
  i64 nEnd;
  int rc = replEnter(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  memset(aOut, 0, 5*sizeof(i64));
  rc = c.pWal && c.pWal->bReplApply ? SQLITE_MISUSE_BKPT : replOpenWal(&c);
  if( rc==SQLITE_OK && (c.p==0 || iFirst<1) ) rc = SQLITE_MISUSE_BKPT;
  if( rc==SQLITE_OK ) rc = sqlite3WalBeginReadTransaction(c.pWal, &bChanged);
  if( rc!=SQLITE_OK ) return replLeave(&c, rc);
  nEnd = c.pWal->hdr.nPage;
  if( nEnd==0 ){
    sqlite3_mutex_enter(c.p->mutex);
    nEnd = c.p->hashes.nPage;
    sqlite3_mutex_leave(c.p->mutex);
  }
  while( rc==SQLITE_OK && pgno<=nEnd && pgno<iFirst+nPage ){
    rc = replScrubPage(&c, (u32)pgno++, aOut);
  }
  aOut[0] = pgno<=nEnd ? pgno : 0;
  sqlite3WalEndReadTransaction(c.pWal);
  if( bChanged ) replForgetHdr(c.pWal);
  return replLeave(&c, rc);
}

int sqlite3_wal_replication_check(
  sqlite3 *db, const char *zSchema, sqlite3_int64 iFirst, const void *pPages, sqlite3_int64 nByte,
  int bDamaged, sqlite3_int64 *aOut
){
  ReplCall c;
  ReplHashes *p;
  int szPage;
  i64 i, n;
  int rc = replEnterHandle(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  p = &c.p->hashes;
  szPage = (int)c.pPager->pageSize;
  n = nByte/szPage;
  aOut[0] = 0;
  if( iFirst<1 || iFirst+n>0xffffffff || nByte%szPage ) return replLeave(&c, SQLITE_MISUSE_BKPT);
  for(i=0; i<n; i++){
    u32 pgno = (u32)(iFirst+i);
    u64 hash = replFileHash(p, pgno);
    if( hash==0 || replPageHash(pgno, (const u8*)pPages+i*szPage, szPage)==hash ) continue;
    if( aOut[0]==0 ) aOut[0] = pgno;
    if( bDamaged ) replHashDamaged(p, pgno, 1);
  }
  return replLeave(&c, SQLITE_OK);
}

/* Writes the pages of a checked chunk that have the hash of the file. The checkpoint lock is held. */
static int replRepairPages(ReplCall *pCall, const u8 *a, i64 *aOut){
  ReplHashes *p = &pCall->p->hashes;
  sqlite3_file *pFd = pCall->pPager->fd;
  const int szPage = (int)pCall->pPager->pageSize;
  const u32 n = replGet32(&a[8]);
  const u8 *aPgno = &a[CHUNK_HEADER_SIZE];
  const u8 *aData = &aPgno[4*(i64)n];
  u32 i;
  int rc = SQLITE_OK;
  for(i=0; rc==SQLITE_OK && i<n; i++){
    u32 pgno = replGet32(&aPgno[4*(i64)i]);
    const u8 *aPage = &aData[(i64)i*szPage];
    u64 hash = replFileHash(p, pgno);
    if( hash==0 || replPageHash(pgno, aPage, szPage)!=hash ){
      aOut[1]++;
      continue;
    }
    rc = sqlite3OsWrite(pFd, aPage, szPage, (pgno-1)*(i64)szPage);
    if( rc==SQLITE_OK ) aOut[0]++;
  }
  if( aOut[0] ){
    int rcSync = sqlite3OsSync(pFd, SQLITE_SYNC_NORMAL);
    if( rc==SQLITE_OK ) rc = rcSync;
  }
  for(i=0; rc==SQLITE_OK && i<n; i++){
    u32 pgno = replGet32(&aPgno[4*(i64)i]);
    const u8 *aPage = &aData[(i64)i*szPage];
    if( replPageHash(pgno, aPage, szPage)==replFileHash(p, pgno) ) replHashDamaged(p, pgno, 0);
  }
  return rc;
}

int sqlite3_wal_replication_repair(
  sqlite3 *db, const char *zSchema, const void *pBuf, sqlite3_int64 nBuf, sqlite3_int64 *aOut
){
  ReplCall c;
  Wal *pWal;
  int rc = replEnter(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  aOut[0] = aOut[1] = 0;
  rc = c.pWal && c.pWal->bReplApply ? SQLITE_MISUSE_BKPT : replOpenWal(&c);
  pWal = c.pWal;
  if( rc==SQLITE_OK && c.p==0 ) rc = SQLITE_MISUSE_BKPT;
  if( rc==SQLITE_OK ) rc = replCheckChunk((const u8*)pBuf, nBuf, (int)c.pPager->pageSize);
  if( rc==SQLITE_OK ) rc = replMapIndex(pWal);
  /* No checkpoint may write a page, or change its hash, meanwhile. */
  if( rc==SQLITE_OK ) rc = walLockExclusive(pWal, WAL_CKPT_LOCK, 1);
  if( rc!=SQLITE_OK ) return replLeave(&c, rc);
  pWal->ckptLock = 1;
  rc = replRepairPages(&c, (const u8*)pBuf, aOut);
  walUnlockExclusive(pWal, WAL_CKPT_LOCK, 1);
  pWal->ckptLock = 0;
  return replLeave(&c, rc);
}
