/*
** WAL replication: a hash of every page, as a table that grows. Nothing here knows of WAL or pager;
** replication_integrity.c says what the hashes are for. Included by replication.c.
**
** Per page there are two hashes of 64 bits:
**
**     file       what the database file holds there, as it was last written
**     logical    what the page is in the newest state that is committed
**
** 0 means "not known", and no page has it. The digest of a database is the sum of the logical hashes
** of its pages: it changes with each batch by what the batch changes, and says nothing as long as a
** page is not known.
**
** The table is a directory of blocks. Blocks stay where they are, and a directory that was replaced
** is kept, so that any thread may look a hash up without a lock.
*/

#define HASH_BLOCK 1024

#define HASH_K0 0x9f3b1d6c47a2e58bULL
#define HASH_K1 0xd1c8a5f3296b7e4dULL
#define HASH_K2 0x6ea94b27f05d83c1ULL
#define HASH_K3 0xb7523ce9814fd6a5ULL
#define HASH_K4 0x48d7f19be36a0c3dULL

typedef struct ReplHashBlock ReplHashBlock;
struct ReplHashBlock {
  u64 aFile[HASH_BLOCK];         /* Atomic */
  u64 aLogical[HASH_BLOCK];      /* Guarded by the mutex of the state */
  u32 aChanged[HASH_BLOCK/32];   /* Atomic. Bits: the file hash changed since it was saved */
  u32 aDamaged[HASH_BLOCK/32];   /* Atomic. Bits: the file was found to hold something else */
};

typedef struct ReplHashDir ReplHashDir;
struct ReplHashDir {
  ReplHashDir *pOld;             /* The smaller one before */
  u32 nBlock;
  ReplHashBlock *apBlock[1];     /* Atomic. NULL where no page is known */
};

/* Guarded by the mutex of the state, but for what is atomic. */
typedef struct ReplHashes ReplHashes;
struct ReplHashes {
  ReplHashDir *pDir;             /* Atomic */
  u32 nPage;                     /* Size of the committed state */
  u32 nKnown;                    /* Pages of it whose logical hash is known */
  u32 pgnoLock;                  /* The page that SQLite leaves out, at 1 GiB */
  u32 nDamaged;                  /* Atomic. Bits set in aDamaged */
  u64 digest;
};

typedef struct ReplPageHash ReplPageHash;
struct ReplPageHash {
  u64 hash;
  u32 pgno;
};

/* The hashes of the pages of a batch. */
typedef struct ReplHashList ReplHashList;
struct ReplHashList {
  ReplPageHash *a;
  u32 n;
  u32 nAlloc;
};

static u64 replWord(const u8 *a){
  u64 v;
  memcpy(&v, a, 8);
#if SQLITE_BYTEORDER!=1234
  v = (u64)a[0] | (u64)a[1]<<8 | (u64)a[2]<<16 | (u64)a[3]<<24
    | (u64)a[4]<<32 | (u64)a[5]<<40 | (u64)a[6]<<48 | (u64)a[7]<<56;
#endif
  return v;
}

/* The two halves of the product, folded. */
static u64 replMix(u64 a, u64 b){
#ifdef __SIZEOF_INT128__
  unsigned __int128 r = (unsigned __int128)a * b;
  return (u64)r ^ (u64)(r>>64);
#else
  u64 a1 = a>>32, a0 = (u32)a, b1 = b>>32, b0 = (u32)b;
  u64 mid = a1*b0 + ((a0*b0)>>32);
  u64 mid2 = a0*b1 + (u32)mid;
  return a*b ^ (a1*b1 + (mid>>32) + (mid2>>32));
#endif
}

/*
** The hash of a page, never 0. It covers the page number, so that a page in the place of another is
** noticed. Four lanes of 16 bytes keep the multiplier busy; a lane's state goes into its next
** product, so that the order of the words counts.
*/
static u64 replPageHash(u32 pgno, const u8 *a, int szPage){
  const u8 *aEnd = &a[szPage];
  u64 s0 = HASH_K0 ^ pgno, s1 = HASH_K1, s2 = HASH_K2, s3 = HASH_K3;
  u64 h;
  assert( szPage%64==0 );
  for(; a<aEnd; a+=64){
    s0 = replMix(replWord(a) ^ s0, replWord(&a[8]) ^ HASH_K1);
    s1 = replMix(replWord(&a[16]) ^ s1, replWord(&a[24]) ^ HASH_K2);
    s2 = replMix(replWord(&a[32]) ^ s2, replWord(&a[40]) ^ HASH_K3);
    s3 = replMix(replWord(&a[48]) ^ s3, replWord(&a[56]) ^ HASH_K4);
  }
  h = replMix(s0 ^ HASH_K2, s1 ^ HASH_K0);
  h = replMix(h ^ s2, HASH_K3 ^ s3);
  h = replMix(h ^ HASH_K4, pgno ^ HASH_K1);
  return h ? h : 1;
}

/* The block of a page, or NULL when nothing of it is known. Any thread. */
static ReplHashBlock *replHashBlock(ReplHashes *p, u32 pgno){
  ReplHashDir *pDir = replLoad(&p->pDir);
  u32 i = (pgno-1)/HASH_BLOCK;
  return pDir && i<pDir->nBlock ? replLoad(&pDir->apBlock[i]) : 0;
}

static u64 replFileHash(ReplHashes *p, u32 pgno){
  ReplHashBlock *pBlock = replHashBlock(p, pgno);
  return pBlock ? replLoad(&pBlock->aFile[(pgno-1)%HASH_BLOCK]) : 0;
}

static u64 replLogicalHash(ReplHashes *p, u32 pgno){
  ReplHashBlock *pBlock = replHashBlock(p, pgno);
  return pBlock ? pBlock->aLogical[(pgno-1)%HASH_BLOCK] : 0;
}

/* Makes room for a page. The mutex is held. */
static int replHashGrow(ReplHashes *p, u32 pgno){
  u32 iBlock = (pgno-1)/HASH_BLOCK;
  ReplHashDir *pDir = p->pDir;
  ReplHashBlock *pBlock;
  if( pDir==0 || iBlock>=pDir->nBlock ){
    u64 n = MAX((u64)iBlock+1, pDir ? 2*(u64)pDir->nBlock : 4);
    ReplHashDir *pNew = sqlite3MallocZero(sizeof(*pNew) + n*sizeof(ReplHashBlock*));
    if( pNew==0 ) return SQLITE_NOMEM_BKPT;
    if( pDir ) memcpy(pNew->apBlock, pDir->apBlock, pDir->nBlock*sizeof(ReplHashBlock*));
    pNew->nBlock = (u32)n;
    pNew->pOld = pDir;
    replStore(&p->pDir, pNew);
    pDir = pNew;
  }
  if( pDir->apBlock[iBlock]==0 ){
    pBlock = sqlite3MallocZero(sizeof(*pBlock));
    if( pBlock==0 ) return SQLITE_NOMEM_BKPT;
    replStore(&pDir->apBlock[iBlock], pBlock);
  }
  return SQLITE_OK;
}

/* Sets or clears a bit of a page. Returns whether that changed it. Any thread. */
static int replHashBit(u32 *aBit, u32 pgno, int bSet){
  u32 i = (pgno-1)%HASH_BLOCK;
  u32 mask = 1u<<(i%32);
  u32 old = bSet ? __atomic_fetch_or(&aBit[i/32], mask, __ATOMIC_SEQ_CST)
                 : __atomic_fetch_and(&aBit[i/32], ~mask, __ATOMIC_SEQ_CST);
  return ((old & mask)!=0)!=bSet;
}

/* Notes whether the file is damaged at a page. Any thread. */
static void replHashDamaged(ReplHashes *p, u32 pgno, int bDamaged){
  ReplHashBlock *pBlock = replHashBlock(p, pgno);
  if( pBlock && replHashBit(pBlock->aDamaged, pgno, bDamaged) ){
    __atomic_fetch_add(&p->nDamaged, bDamaged ? 1 : -1, __ATOMIC_SEQ_CST);
  }
}

/* The file now holds, or is about to hold, this. There is a block. */
static void replHashWritten(ReplHashes *p, u32 pgno, u64 hash){
  ReplHashBlock *pBlock = replHashBlock(p, pgno);
  replStore(&pBlock->aFile[(pgno-1)%HASH_BLOCK], hash);
  replHashBit(pBlock->aChanged, pgno, 1);
  replHashDamaged(p, pgno, 0);
}

/* Sets a logical hash, 0 to forget it. There is a block. The mutex is held. */
static void replHashLogical(ReplHashes *p, u32 pgno, u64 hash){
  ReplHashBlock *pBlock = replHashBlock(p, pgno);
  u64 *pHash = &pBlock->aLogical[(pgno-1)%HASH_BLOCK];
  p->digest += hash - *pHash;
  p->nKnown += (hash!=0) - (*pHash!=0);
  *pHash = hash;
}

/* The committed state has another size: forgets the pages beyond it. The mutex is held. */
static void replHashResize(ReplHashes *p, u32 nPage){
  u32 pgno = nPage+1;
  while( pgno<=p->nPage && pgno!=0 ){
    if( replHashBlock(p, pgno)==0 ){
      pgno = ((pgno-1)/HASH_BLOCK + 1)*HASH_BLOCK + 1;
    }else{
      replHashLogical(p, pgno++, 0);
    }
  }
  p->nPage = nPage;
}

typedef struct ReplDigest ReplDigest;
struct ReplDigest {
  u64 digest;
  u32 nPage;
  u32 nUnknown;                  /* Pages whose hash is not known */
};

/* The committed state, in short. The mutex is held. */
static ReplDigest replHashDigest(const ReplHashes *p){
  ReplDigest d;
  d.digest = p->digest;
  d.nPage = p->nPage;
  d.nUnknown = p->nPage - p->nKnown - (p->pgnoLock<=p->nPage);
  return d;
}

/* The file was cut after nPage pages: forgets what came behind. The lock of checkpoints is held. */
static void replHashCut(ReplHashes *p, u32 nPage){
  ReplHashDir *pDir = replLoad(&p->pDir);
  u32 iBlock;
  for(iBlock=nPage/HASH_BLOCK; pDir && iBlock<pDir->nBlock; iBlock++){
    ReplHashBlock *pBlock = replLoad(&pDir->apBlock[iBlock]);
    u32 i = iBlock==nPage/HASH_BLOCK ? nPage%HASH_BLOCK : 0;
    for(; pBlock && i<HASH_BLOCK; i++){
      replStore(&pBlock->aFile[i], 0);
      replHashDamaged(p, iBlock*HASH_BLOCK+i+1, 0);
    }
  }
}

static void replHashFree(ReplHashes *p){
  ReplHashDir *pDir = p->pDir;
  u32 i;
  for(i=0; pDir && i<pDir->nBlock; i++) sqlite3_free(pDir->apBlock[i]);
  while( pDir ){
    ReplHashDir *pOld = pDir->pOld;
    sqlite3_free(pDir);
    pDir = pOld;
  }
}

static void replListClear(ReplHashList *p){
  sqlite3_free(p->a);
  memset(p, 0, sizeof(*p));
}

/* As replListClear(), but keeps a small buffer for the next batch. */
static void replListReuse(ReplHashList *p){
  if( p->nAlloc>HASH_BLOCK ) replListClear(p);
  p->n = 0;
}

/* Adds nPage pages: their numbers as in a chunk, their bytes one after another. */
static int replListAdd(
  ReplHashList *p, const u8 *aPgno, const u8 *aData, u32 nPage, int szPage
){
  u32 i;
  if( p->n+(u64)nPage>p->nAlloc ){
    u64 n = MAX(p->n+(u64)nPage, 2*(u64)p->nAlloc);
    ReplPageHash *aNew = sqlite3_realloc64(p->a, n*sizeof(ReplPageHash));
    if( aNew==0 ) return SQLITE_NOMEM_BKPT;
    p->a = aNew;
    p->nAlloc = (u32)n;
  }
  for(i=0; i<nPage; i++){
    ReplPageHash *pNew = &p->a[p->n++];
    pNew->pgno = replGet32(&aPgno[4*(i64)i]);
    pNew->hash = replPageHash(pNew->pgno, &aData[(i64)i*szPage], szPage);
  }
  return SQLITE_OK;
}

/* Makes room in the table for what is in the list from iFrom on. The mutex is held. */
static int replListReserve(const ReplHashList *p, u32 iFrom, ReplHashes *pHashes){
  int rc = SQLITE_OK;
  u32 i;
  for(i=iFrom; rc==SQLITE_OK && i<p->n; i++) rc = replHashGrow(pHashes, p->a[i].pgno);
  return rc;
}

/* A batch is committed: takes its hashes over. The mutex is held. */
static void replListCommit(const ReplHashList *p, ReplHashes *pHashes, u32 nPage){
  u32 i;
  for(i=0; i<p->n; i++){
    if( p->a[i].pgno<=nPage ) replHashLogical(pHashes, p->a[i].pgno, p->a[i].hash);
  }
  replHashResize(pHashes, nPage);
}
